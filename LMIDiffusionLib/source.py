"""A source volume, scaled and cut into slices once: what every method starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .axial_slices import AxialGrid
from .errors import UserError
from .intensity import head_mask, head_outlines, otsu_threshold, to_unit_scale
from .upsampling import guided_upsampling
from .volume import Volume

# Slices with less head than this, in square millimetres, are background.
_MINIMUM_HEAD_AREA = 200.0


@dataclass(frozen=True)
class SlicedSource:
    """A volume on the unit scale and its axial slices, from the feet up.

    Attributes:
        grid: of the slices, and the way back to the volume's own.
        scaled: (I, J, K) in [0, 1], the whole volume.
        plane_slices: (S, 1, rows, columns), slices of the volume's own pixels.
        slices: (S, 1, H, W), the same on the checkpoint's pixels.
        pixel_size: side of the checkpoint's pixels in millimetres.
        otsu: Otsu's threshold of `scaled`.
    """

    grid: AxialGrid
    scaled: NDArray[np.float32]
    plane_slices: Tensor
    slices: Tensor
    pixel_size: float
    otsu: float

    @classmethod
    def of(cls, volume: Volume, *, pixel_size: float) -> SlicedSource:
        """Scale and cut a volume of any orientation, spacing and real dtype.

        Raises:
            UserError: its axial slices would be too small or too large.
            ValueError: it is constant.
        """
        grid = AxialGrid(volume.array.shape, volume.affine, pixel_size=pixel_size)
        scaled = to_unit_scale(volume.array)
        plane_slices = grid.plane_slices(scaled)
        return cls(grid, scaled, plane_slices, grid.to_slices(plane_slices), pixel_size, otsu_threshold(scaled))

    def head_slices(self, chosen: tuple[int, int] | None = None) -> list[int]:
        """Indices of the slices in [first, stop), of all if None, that show some of the head.

        Raises:
            UserError: the range does not fit the volume.
        """
        first, stop = chosen or (0, self.grid.slice_count)
        if not 0 <= first < stop <= self.grid.slice_count:
            raise UserError(
                f"The slice range {first}:{stop} does not fit the volume;"
                f" its axial slices are 0:{self.grid.slice_count}."
            )
        pixels = self.grid.slices(head_mask(self.scaled, otsu=self.otsu)).sum((1, 2, 3))
        areas = pixels * self.pixel_size**2
        return [index for index in range(first, stop) if areas[index] >= _MINIMUM_HEAD_AREA]

    def outlines(self, indices: list[int]) -> Tensor:
        """Pixels (B, 1, H, W) of the head, bool; all others show air."""
        outlines = head_outlines(self.scaled, self.slices[indices, 0].numpy(), otsu=self.otsu)
        return torch.from_numpy(outlines)[:, None]

    def enlarged(self, images: Tensor, indices: list[int]) -> Tensor:
        """Images (B, 1, H, W) in place of these slices, on the volume's own pixels: with its detail where it has more.

        Returns:
            (B, 1, rows, columns).
        """
        grid = self.grid
        if not all(fine > coarse for fine, coarse in zip(grid.plane_shape, grid.slice_shape, strict=True)):
            return grid.to_plane(images)
        return guided_upsampling(images, self.slices[indices], self.plane_slices[indices])
