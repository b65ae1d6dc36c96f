"""A source volume on the unit scale, cut into slices: the input of every translator."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from ..images.air import with_air
from ..images.normalization import head_mask, head_outlines, otsu_threshold, unit_scale
from ..images.slice_grid import SliceGrid, pad_to, padded_shape
from ..images.volume import Volume
from ..interface.notices import Notices

# Slices with less head than this, in square millimeters, are background.
_MINIMUM_HEAD_AREA = 200.0


class SlicedVolume:
    """A volume on the unit scale and its slices in one plane; axial slices count from the feet up.

    Slices and outlines of the head are computed on first use and kept.

    Attributes:
        grid: pixels of the slices, and the way back to the volume's own grid.
        scaled: (I, J, K) in [0, 1], the whole volume.
        pixel_size: side of the slices' pixels in millimeters.
        otsu: Otsu's threshold of `scaled`.
        notices: facts about the volume that its user should know.
    """

    def __init__(
        self,
        scaled: NDArray[np.float32],
        grid: SliceGrid,
        *,
        otsu: float | None = None,
        head: NDArray[np.float32] | None = None,
        scanned: NDArray[np.float32] | None = None,
        notices: Notices = (),
    ) -> None:
        """
        Args:
            scaled: (I, J, K) in [0, 1].
            grid: of the slices.
            otsu: Otsu's threshold of `scaled`, where it is known.
            head: mask (I, J, K) of the head, where it is known; else each slice is outlined by itself.
            scanned: 1 in voxels (I, J, K) of a scan, 0 in those put around it, which tell no level of the air; None
                where all are of the scan.
            notices: facts about the volume.
        """
        self.scaled, self.grid, self.notices = scaled, grid, notices
        self.pixel_size = grid.pixel_size
        self._scanned = scanned
        self.otsu = otsu_threshold(scaled) if otsu is None else otsu
        self._outlines: dict[int, Tensor] = {}
        self._head_slices: dict[str, list[int]] = {}
        if head is not None:
            self._outlines.update(enumerate(grid.slices(head)[:, 0] >= 0.5))

    @classmethod
    def from_volume(cls, volume: Volume, *, pixel_size: float) -> SlicedVolume:
        """Scale a volume of any orientation, spacing and real dtype, and cut it into axial slices.

        Args:
            volume: the source.
            pixel_size: side of the slices' pixels in millimeters.

        Raises:
            UserError: its axial slices would be too small or too large, or it is constant.
        """
        grid = SliceGrid(volume.array.shape, volume.affine, pixel_size=pixel_size)
        scaled, notices = unit_scale(volume.array)
        return cls(scaled, grid, notices=notices)

    @cached_property
    def plane_slices(self) -> Tensor:
        """Slices (S, 1, rows, columns) on the volume's own pixels."""
        return self.grid.plane_slices(self.scaled)

    @cached_property
    def slices(self) -> Tensor:
        """Slices (S, 1, H, W) on the pixels of the grid."""
        return self.grid.to_slices(self.plane_slices)

    @cached_property
    def _scanned_planes(self) -> Tensor:
        assert self._scanned is not None
        return self.grid.plane_slices(self._scanned)

    def head_slices(self, chosen: tuple[int, int] | None = None) -> list[int]:
        """Return the indices of slices in [first, stop), of all if None, that show some of the head.

        Raises:
            UserError: the range does not fit the volume.
        """
        first, stop = chosen or (0, self.grid.slice_count)
        if not 0 <= first < stop <= self.grid.slice_count:
            raise UserError(
                f"The slice range {first}:{stop} does not fit the volume;"
                f" its axial slices are 0:{self.grid.slice_count}."
            )
        return [index for index in self.head_slices_in(self.grid.plane) if first <= index < stop]

    def head_slices_in(self, plane: str) -> list[int]:
        """Return the indices of all slices of a plane that show some of the head."""
        if plane not in self._head_slices:
            grid = self.grid.in_plane(plane)
            voxels = grid.plane_slices(self.bright).sum((1, 2, 3))
            areas = voxels * grid.plane_spacing[0] * grid.plane_spacing[1]
            self._head_slices[plane] = torch.nonzero(areas >= _MINIMUM_HEAD_AREA).flatten().tolist()
        return self._head_slices[plane]

    @cached_property
    def bright(self) -> NDArray[np.bool_]:
        """Voxels (I, J, K) of the head, as `head_mask` finds them."""
        return head_mask(self.scaled, otsu=self.otsu)

    def outlines(self, indices: list[int]) -> Tensor:
        """Return the pixels (B, 1, H, W) of the head, bool; all others show air."""
        new = [index for index in indices if index not in self._outlines]
        if new:
            outlines = head_outlines(self.scaled, self.slices[new, 0].numpy(), otsu=self.otsu)
            self._outlines.update(zip(new, torch.from_numpy(outlines), strict=True))
        return torch.stack([self._outlines[index] for index in indices])[:, None]

    @cached_property
    def _head(self) -> NDArray[np.float32]:
        """The outlines of all slices as a mask on the volume's own grid."""
        heads = self.grid.to_plane(self.outlines(list(range(self.grid.slice_count))).float())
        return self.grid.volume((heads >= 0.5).float())

    def in_plane(self, plane: str) -> SlicedVolume:
        """Return the same volume in slices of another plane, with the same head."""
        if plane == self.grid.plane:
            return self
        return SlicedVolume(
            self.scaled, self.grid.in_plane(plane), otsu=self.otsu, head=self._head, scanned=self._scanned
        )

    def with_pixel_size(self, pixel_size: float) -> SlicedVolume:
        """Return the same volume on pixels of another side in millimeters."""
        if pixel_size == self.pixel_size:
            return self
        return SlicedVolume(self.scaled, self.grid.with_pixel_size(pixel_size), otsu=self.otsu, scanned=self._scanned)

    def with_intensities(self, scaled: NDArray[np.float32]) -> SlicedVolume:
        """Return the slices of another volume (I, J, K) in [0, 1] on the same grid."""
        return SlicedVolume(scaled, self.grid)

    def padded(self, indices: list[int], *, stride: int) -> Tensor:
        """Return slices (B, 1, H, W), padded to multiples of a network's stride."""
        return pad_to(self.slices[indices], padded_shape(self.grid.slice_shape, stride))

    def with_air(self, images: Tensor, indices: list[int]) -> Tensor:
        """Crop images of padded slices and give them the air of the source (`air.with_air`)."""
        slices, outlines = self.slices[indices], self.outlines(indices)
        air = ~outlines
        if self._scanned is not None:
            air &= self.grid.to_slices(self._scanned_planes[indices]) >= 0.5
        return with_air(images, slices, outlines, air=air, pixel_size=self.pixel_size)
