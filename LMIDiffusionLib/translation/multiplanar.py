"""How the samples of a translation are shared out over the planes that a network has learned.

A network takes each slice for itself: what it gets wrong in a plane changes from slice to slice, and is another thing
in another plane. The mean over planes is better than that over as many samples of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..images.planes import AXIAL, PLANES
from .options import TranslationOptions
from .sliced_volume import SlicedSource

# In millimetres: slices across a narrower, lower or coarser stack show too little of a head to be read.
_LEAST_EXTENTS = (70.0, 70.0, 100.0)  # to the right, to the front, up
_THICKEST = 6.0
# A scan was made in another plane than the first where its slices lie more than so many times as far apart there.
_COARSER = 1.1


@dataclass(frozen=True)
class Cut:
    """The samples that are drawn in one plane.

    Attributes:
        plane: name in `planes.PLANES`.
        indices: slices to draw.
        samples: how many.
    """

    plane: str
    indices: list[int]
    samples: int


def cuts(source: SlicedSource, indices: list[int], planes: Sequence[str], options: TranslationOptions) -> list[Cut]:
    """One for each plane that has samples.

    Args:
        source: in axial slices.
        indices: axial slices to draw.
        planes: that the method knows, the axial one first.
        options: of the translation; a range of slices is drawn as axial ones.
    """
    turns = [AXIAL] if options.slices is not None else _turns(source, planes)
    counts = Counter(turns[number % len(turns)] for number in range(options.samples))
    return [
        Cut(plane, indices if plane == AXIAL else source.head_slices_in(plane), samples)
        for plane, samples in counts.items()
    ]


def _turns(source: SlicedSource, planes: Sequence[str]) -> list[str]:
    """The planes in which sample after sample is drawn.

    Every other one is drawn in the plane of the scan's own slices, in which it is sharp.
    """
    grids = {plane: source.grid.in_plane(plane) for plane in planes if _is_readable(source, plane)}
    own = next(iter(grids), AXIAL)
    for plane, grid in grids.items():
        if grid.slice_spacing > _COARSER * grids[own].slice_spacing:
            own = plane
    others = [plane for plane in grids if plane != own and grids[own].slice_spacing <= _THICKEST]
    return [plane for other in others for plane in (own, other)] or [own]


def _is_readable(source: SlicedSource, plane: str) -> bool:
    """Whether slices of a plane are wide enough, and any of them shows some of the head."""
    axial = source.grid
    counts, spacings = (*axial.plane_shape, axial.slice_count), (*axial.plane_spacing, axial.slice_spacing)
    rows, columns, _ = PLANES[plane]
    is_wide = all(counts[axis] * spacings[axis] >= _LEAST_EXTENTS[axis] for axis in (rows, columns))
    return is_wide and bool(source.head_slices_in(plane))
