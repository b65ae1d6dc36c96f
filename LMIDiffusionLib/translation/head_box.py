"""The part of a volume that is translated: the head and a fixed margin, whatever the field of view.

A network's estimate of a pixel depends on all of the slice, the air around the head too, by its normalization and its
attention; and the pixels that a field of view is cut into depend on its size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from ..images.slice_grid import SliceGrid
from .sliced_volume import SlicedVolume

# In millimeters about the head: of the scan, and then of 0 in place of its own air and noise. Training slices have as
# much, because all of them are padded to the size of the largest.
_MARGIN, _AIR = 4.0, 12.0
# Bright voxels of a plane, in square millimeters, from which on it shows some of the head: noise has less.
_LEAST_AREA = 50.0
_ROUNDING = 1e-3  # of affines, in voxels
_UP = 2  # the third axis of right, anterior, superior


@dataclass(frozen=True)
class HeadBox:
    """Box about the head, in an air of 0; it may reach beyond the volume, which is 0 there.

    Attributes:
        shape: (I, J, K) of the volume.
        first: first voxel along each axis.
        stop: voxel after the last along each axis.
        air: voxels of 0 that are added at both ends of each axis.
    """

    shape: tuple[int, ...]
    first: tuple[int, ...]
    stop: tuple[int, ...]
    air: tuple[int, ...] = (0, 0, 0)

    @classmethod
    def about(cls, source: SlicedVolume, asked: NDArray[np.float32]) -> HeadBox:
        """Return the box about the head of a volume.

        Args:
            source: in axial slices.
            asked: 1 in the voxels (I, J, K) of axial slices that lie in the box in any case, 0 in others.
        """
        affine = source.grid.affine
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        up = int(np.flatnonzero(io_orientation(affine)[:, 0] == _UP)[0])
        bright = source.bright
        first, stop = [], []
        for axis, count in enumerate(bright.shape):
            others = tuple(each for each in range(3) if each != axis)
            areas = bright.sum(others) * spacing[list(others)].prod()
            margin = int(np.ceil(_MARGIN / spacing[axis] - _ROUNDING))
            shown = np.flatnonzero(areas >= _LEAST_AREA)
            begin, end = (shown[0] - margin, shown[-1] + 1 + margin) if len(shown) else (0, count)
            if axis == up:
                wanted = np.flatnonzero(asked.any(others))
                begin, end = min(begin, wanted[0]), max(end, wanted[-1] + 1)
            first.append(int(begin))
            stop.append(int(end))
        air = tuple(int(np.ceil(_AIR / each - _ROUNDING)) for each in spacing)
        return cls(bright.shape, tuple(first), tuple(stop), air)

    def cut(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut the box out of an array of the volume."""
        widths = [
            (air + max(0, -a), air + max(0, b - n))
            for a, b, n, air in zip(self.first, self.stop, self.shape, self.air, strict=True)
        ]
        return np.pad(array[self._overlap], widths)

    def put_back(self, part: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put an array of the box back into its place in a volume of 0."""
        array = np.zeros(self.shape, part.dtype)
        shown = (slice(each.start - a, each.stop - a) for each, a in zip(self._overlap, self._origin, strict=True))
        array[self._overlap] = part[tuple(shown)]
        return array

    @property
    def inside(self) -> NDArray[np.float32]:
        """1 in the voxels (I, J, K) of the volume that lie in the box, 0 in others."""
        widths = zip(self.first, self.stop, self.air, strict=True)
        return self.put_back(np.ones([stop - first + 2 * air for first, stop, air in widths], np.float32))

    def part_of(self, source: SlicedVolume) -> SlicedVolume:
        """Return the box of a volume in slices of its own, on the scale of the whole."""
        affine = source.grid.affine.copy()
        affine[:3, 3] = (affine @ [*self._origin, 1])[:3]
        scaled = self.cut(source.scaled)
        grid = SliceGrid(scaled.shape, affine, pixel_size=source.pixel_size)
        return SlicedVolume(scaled, grid, otsu=source.otsu, scanned=self.cut(np.ones(self.shape, np.float32)))

    @property
    def _origin(self) -> tuple[int, ...]:
        """The voxel of the volume that is the first of the box with its air."""
        return tuple(first - air for first, air in zip(self.first, self.air, strict=True))

    @property
    def _overlap(self) -> tuple[slice, ...]:
        """The part of the box that the volume has."""
        return tuple(slice(max(0, a), min(n, b)) for a, b, n in zip(self.first, self.stop, self.shape, strict=True))
