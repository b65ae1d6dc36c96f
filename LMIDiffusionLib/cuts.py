"""How the samples of a translation are shared out over the planes that a network has learned.

A network takes each slice for itself: what it gets wrong in a plane changes from slice to slice, and is another thing
in another plane. The mean over planes is better than that over as many samples of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .options import TranslationOptions
from .planes import AXIAL
from .source import SlicedSource

# In millimetres: slices across fewer or thicker ones show too little of a head to be read.
_LEAST_HEIGHT = 100.0
_THICKEST = 6.0


@dataclass(frozen=True)
class Cut:
    """The samples that are drawn in one plane.

    Attributes:
        source: in this plane.
        indices: slices to draw.
        numbers: of the samples.
    """

    source: SlicedSource
    indices: list[int]
    numbers: list[int]


def cuts(source: SlicedSource, indices: list[int], planes: Sequence[str], options: TranslationOptions) -> list[Cut]:
    """One for each plane that has samples, the axial one first.

    Args:
        source: in axial slices.
        indices: axial slices to draw.
        planes: that the method knows, the axial one first; the others are left out where a part is to be translated,
            or where the volume shows too little in them.
        options: of the translation.
    """
    grid = source.grid
    whole = options.slices is None and grid.slice_count * grid.slice_spacing >= _LEAST_HEIGHT
    usable = planes if whole and grid.slice_spacing <= _THICKEST else (AXIAL,)
    found = []
    for turn, plane in enumerate(usable[: options.samples]):
        numbers = list(range(turn, options.samples, len(usable)))
        sliced = source if plane == AXIAL else source.in_plane(plane)
        found.append(Cut(sliced, indices if plane == AXIAL else sliced.head_slices(), numbers))
    return found
