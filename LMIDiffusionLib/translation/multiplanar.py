"""Multiplanar sampling: the samples of a translation are shared out over the planes that a network has learned.

A network sees each slice by itself: its errors in a plane change from slice to slice, and differ between planes. The
mean over planes is better than the mean over as many samples of one plane.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..images.planes import AXIAL, PLANES
from .options import TranslationOptions
from .sliced_volume import SlicedVolume

# In millimeters: slices across a narrower, lower or coarser stack show too little of a head to be read.
_LEAST_EXTENTS = (70.0, 70.0, 100.0)  # to the right, to the front, up
_THICKEST = 6.0
# A scan was made in another plane than the first where its slices lie more than so many times as far apart there.
_COARSER = 1.1


@dataclass(frozen=True)
class PlaneSamples:
    """The samples to generate in one plane.

    Attributes:
        plane: name in `planes.PLANES`.
        indices: slices to generate.
        samples: number of samples.
    """

    plane: str
    indices: list[int]
    samples: int


def share_samples(
    source: SlicedVolume, indices: list[int], planes: Sequence[str], options: TranslationOptions
) -> list[PlaneSamples]:
    """Share out the samples over the planes of a volume.

    Args:
        source: in axial slices.
        indices: axial slices to generate.
        planes: known to the translator, the axial one first.
        options: of the translation; a range of slices is generated in axial slices alone.
    """
    readable: dict[str, list[int]] = {}
    if options.slices is None:
        readable = {plane: found for plane in planes if (found := _readable_slices(source, plane))}
    turns = _turns(source, list(readable))
    counts = Counter(turns[number % len(turns)] for number in range(options.samples))
    return [
        PlaneSamples(plane, indices if plane == AXIAL else readable[plane], samples)
        for plane, samples in counts.items()
    ]


def own_plane(source: SlicedVolume, planes: Sequence[str], options: TranslationOptions) -> str:
    """Return the plane of the scan's own slices; the axial one where a range of slices is chosen."""
    return share_samples(source, [], planes, dataclasses.replace(options, samples=1))[0].plane


def _turns(source: SlicedVolume, planes: Sequence[str]) -> list[str]:
    """Return the planes of consecutive samples.

    Every other sample is generated in the plane of the scan's own slices, in which it is sharp.
    """
    grids = {plane: source.grid.in_plane(plane) for plane in planes}
    own = next(iter(grids), AXIAL)
    for plane, grid in grids.items():
        if grid.slice_spacing > _COARSER * grids[own].slice_spacing:
            own = plane
    others = [plane for plane in grids if plane != own and grids[own].slice_spacing <= _THICKEST]
    return [plane for other in others for plane in (own, other)] or [own]


def _readable_slices(source: SlicedVolume, plane: str) -> list[int]:
    """Return the slices of a plane that show some of the head; none if the slices are too narrow."""
    axial = source.grid
    counts, spacings = (*axial.plane_shape, axial.slice_count), (*axial.plane_spacing, axial.slice_spacing)
    rows, columns, _ = PLANES[plane]
    is_wide = all(counts[axis] * spacings[axis] >= _LEAST_EXTENTS[axis] for axis in (rows, columns))
    return source.head_slices_in(plane) if is_wide else []
