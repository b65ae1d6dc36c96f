"""How the samples of a translation are shared out over the planes that a network has learned.

A network takes each slice for itself: what it gets wrong in a plane changes from slice to slice, and is another thing
in another plane. The mean over planes is better than that over as many samples of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .options import TranslationOptions
from .planes import AXIAL
from .slice_grid import SliceGrid
from .source import SlicedSource

# In millimetres: slices across a lower or a coarser stack show too little of a head to be read.
_LEAST_HEIGHT = 100.0
_THICKEST = 6.0
# Of a sample in the plane of the scan's own slices, relative to one in another.
_OWN_WEIGHT = 2.0


@dataclass(frozen=True)
class Cut:
    """The samples that are drawn in one plane.

    Attributes:
        plane: name in `planes.PLANES`.
        indices: slices to draw.
        samples: how many.
        weight: of each.
    """

    plane: str
    indices: list[int]
    samples: int
    weight: float = 1.0


def cuts(source: SlicedSource, indices: list[int], planes: Sequence[str], options: TranslationOptions) -> list[Cut]:
    """One for each plane that has samples.

    Args:
        source: in axial slices.
        indices: axial slices to draw.
        planes: that the method knows, the axial one first.
        options: of the translation; a range of slices is drawn as axial ones.
    """
    turns = (AXIAL,) if options.slices is not None else _turns(source.grid, planes)
    counts = Counter(turns[number % len(turns)] for number in range(options.samples))
    return [
        Cut(
            plane,
            indices if plane == AXIAL else source.head_slices_in(plane),
            samples,
            weight=_OWN_WEIGHT if plane == turns[0] else 1.0,
        )
        for plane, samples in counts.items()
    ]


def _turns(grid: SliceGrid, planes: Sequence[str]) -> Sequence[str]:
    """The planes in which sample after sample is drawn.

    Every other one is drawn in the plane of the scan's own slices, in which it is sharp.
    """
    if grid.slice_count * grid.slice_spacing < _LEAST_HEIGHT:
        return (AXIAL,)
    spacings = {plane: round(grid.in_plane(plane).slice_spacing, 1) for plane in planes}
    own = max(spacings, key=spacings.__getitem__)  # the first of equal ones
    others = [plane for plane in planes if plane != own and spacings[own] <= _THICKEST]
    return [plane for other in others for plane in (own, other)] or [own]
