"""Slices of a volume on a checkpoint's grid, with the inverse of every step."""

from __future__ import annotations

import numpy as np
import torch
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import UserError
from ..interface.checkpoint_header import MINIMUM_PIXELS
from .planes import AXIAL, in_plane

# In millimeters: beyond it the header is in other units, and the slices could fill all memory.
_MAXIMUM_EXTENT = 3000.0


class SliceGrid:
    """Slices of a volume on square pixels, and the way back to the volume's own grid.

    Voxel axes are permuted and flipped to the order closest to right, anterior, superior, or to what the plane has in
    its place (`planes.PLANES`), and never resampled through the slices; in the plane, the field of view is resampled to
    the whole number of pixels nearest to the pixel size.
    """

    def __init__(
        self, shape: tuple[int, ...], affine: NDArray[np.float64], *, pixel_size: float, plane: str = AXIAL
    ) -> None:
        """
        Args:
            shape: (I, J, K) of the volume.
            affine: (4, 4), voxel indices to millimeters.
            pixel_size: side of the pixels in millimeters.
            plane: of the slices, name in `planes.PLANES`.

        Raises:
            UserError: the slices would be too small to hold a head, or too large to be one.
        """
        self.plane = plane
        self.pixel_size = pixel_size
        self.affine = affine
        affine = in_plane(affine, plane)
        self._orientation = io_orientation(affine)
        self._shape = shape
        canonical = affine @ inv_ornt_aff(self._orientation, shape)
        columns = [int(np.flatnonzero(self._orientation[:, 0] == axis)[0]) for axis in range(3)]
        canonical_shape = (shape[columns[0]], shape[columns[1]], shape[columns[2]])
        spacing = np.linalg.norm(canonical[:3, :3], axis=0)
        self.slice_spacing = float(spacing[2])
        self.slice_count = canonical_shape[2]
        self.plane_shape = canonical_shape[:2]
        self.plane_spacing = (float(spacing[0]), float(spacing[1]))
        self.slice_shape = (
            max(1, round(canonical_shape[0] * spacing[0] / pixel_size)),
            max(1, round(canonical_shape[1] * spacing[1] / pixel_size)),
        )
        extent = " x ".join(f"{n * s:.0f}" for n, s in zip(canonical_shape, spacing, strict=True))
        if min(self.slice_shape) < MINIMUM_PIXELS:
            raise UserError(
                f"The volume is too thin to slice: its {plane} slices span {extent} mm (rows, columns, through)"
                f" and need at least {MINIMUM_PIXELS * pixel_size:.0f} mm each way."
            )
        if max(self.slice_shape) * pixel_size > _MAXIMUM_EXTENT:
            raise UserError(
                f"The volume is too large for a head: it spans {extent} mm; correct the voxel size in its header."
            )

    def in_plane(self, plane: str) -> SliceGrid:
        """Return the grid of the same volume in another plane."""
        return SliceGrid(self._shape, self.affine, pixel_size=self.pixel_size, plane=plane)

    def with_pixel_size(self, pixel_size: float) -> SliceGrid:
        """Return the grid of the same volume with pixels of another side in millimeters."""
        return SliceGrid(self._shape, self.affine, pixel_size=pixel_size, plane=self.plane)

    def slices(self, array: NDArray[np.number | np.bool_]) -> Tensor:
        """Cut slices (S, 1, H, W), float32; axial ones from the feet up, rows to the right, columns to the front."""
        return self.to_slices(self.plane_slices(array))

    def plane_slices(self, array: NDArray[np.number | np.bool_]) -> Tensor:
        """Cut slices like `slices`, on the pixels of the volume's own grid; `volume` undoes it."""
        canonical = apply_orientation(array, self._orientation).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(canonical, 2, 0)))[:, None]

    def to_slices(self, plane_slices: Tensor) -> Tensor:
        """Resample slices (N, 1, rows, columns) of the volume's own pixels to (N, 1, H, W)."""
        return _resample(plane_slices, self.slice_shape)

    def to_plane(self, slices: Tensor) -> Tensor:
        """Resample slices (N, 1, H, W) to the pixels of the volume's own grid."""
        return _resample(slices, self.plane_shape)

    def volume(self, plane_slices: Tensor) -> NDArray[np.float32]:
        """Put all slices (S, 1, rows, columns) of the volume's own pixels back into an array of the volume's shape."""
        canonical = np.moveaxis(plane_slices[:, 0].numpy(), 0, 2)
        restored = apply_orientation(canonical, _inverse(self._orientation))
        assert restored.shape == self._shape
        return np.ascontiguousarray(restored)


def _inverse(orientation: NDArray[np.float64]) -> NDArray[np.float64]:
    inverse = np.empty_like(orientation)
    for axis, (target, flip) in enumerate(orientation):
        inverse[int(target)] = (axis, flip)
    return inverse


def _resample(slices: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resample bilinearly, with a wider kernel to shrink; both grids cover the same field of view."""
    if tuple(slices.shape[-2:]) == shape:
        return slices
    return functional.interpolate(slices, size=shape, mode="bilinear", antialias=True, align_corners=False)


def pad_to(slices: Tensor, shape: tuple[int, int]) -> Tensor:
    """Center slices (..., H, W) on a larger or smaller plane of zeros; going back undoes a growth exactly."""
    down, right = shape[0] - slices.shape[-2], shape[1] - slices.shape[-1]
    top, left = int(down / 2), int(right / 2)  # rounded towards 0, for padding and cropping alike
    return functional.pad(slices, (left, right - left, top, down - top))


def padded_shape(shape: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return the smallest shape of multiples of `stride` that holds `shape`."""
    return (-(-shape[0] // stride) * stride, -(-shape[1] // stride) * stride)
