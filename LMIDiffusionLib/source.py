"""A source volume, scaled and cut into slices once: what every method starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .axial_slices import AxialGrid, pad_to, padded_shape
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
        planes = grid.plane_slices(scaled)
        return cls(grid, scaled, planes, grid.to_slices(planes), pixel_size, otsu_threshold(scaled))

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

    def with_intensities(self, scaled: NDArray[np.float32]) -> SlicedSource:
        """The same slices of a volume (I, J, K) in [0, 1] in place of `scaled`."""
        planes = self.grid.plane_slices(scaled)
        return SlicedSource(
            self.grid, scaled, planes, self.grid.to_slices(planes), self.pixel_size, otsu_threshold(scaled)
        )

    def padded(self, indices: list[int], *, stride: int) -> Tensor:
        """These slices (B, 1, H, W), padded to multiples of a network's stride."""
        return pad_to(self.slices[indices], padded_shape(self.grid.slice_shape, stride))

    def with_air(self, images: Tensor, indices: list[int]) -> Tensor:
        """Images of these slices, padded as by `padded`, cropped and put in [0, 1]; around the head, the source itself.

        Air has no contrast to translate, but the scan's own noise.
        """
        cropped = pad_to(images.clamp(0, 1).float().cpu(), self.grid.slice_shape)
        return torch.where(self.outlines(indices), cropped, self.slices[indices])

    def enlarged(self, images: Tensor, indices: list[int]) -> Tensor:
        """Images (B, 1, H, W) in place of these slices, on the volume's own pixels: with its detail where it has more.

        Returns:
            (B, 1, rows, columns).
        """
        grid = self.grid
        if not all(fine > coarse for fine, coarse in zip(grid.plane_shape, grid.slice_shape, strict=True)):
            return grid.to_plane(images)
        return guided_upsampling(images, self.slices[indices], self.plane_slices[indices])
