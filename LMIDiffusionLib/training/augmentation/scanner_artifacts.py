"""Scanner artifacts in slices of any contrast: gain, the coils' shading, thick slices, blur, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...model.score_network import WIDEST_PIXELS
from .random_streams import Draws

_AIR = 0.04
_BLUR_REACH = 3  # pixels of that side, on each side


@dataclass(frozen=True)
class Scanner:
    """Random scanner artifacts, and their extent.

    Attributes:
        gain: share of copies put on the unit scale of intensity anew, up to a fifth too bright or too dark: what is
            then above 1 is clipped, as the fluid of a T2w scan is.
        bias_field: largest relative change of intensity over the slice.
        noise: largest standard deviation of added noise.
        blur: largest standard deviation of the Gaussian blur, in pixels.
        thickness: largest standard deviation of a further blur along one axis, in pixels of 2 mm, as thick slices of
            another orientation have it; half the copies have some.
    """

    gain: float = 0.0
    bias_field: float = 0.2
    noise: float = 0.01
    blur: float = 0.6
    thickness: float = 0.0

    def __call__(self, images: Tensor, draws: Draws, *, pixel_size: float = WIDEST_PIXELS) -> Tensor:
        """Return slices (B, 1, H, W) in [0, 1] with a scanner's artifacts, for pixels of that size in millimeters."""
        gained = images * self._gain(images, draws)
        blurred = self._blur((gained * self._bias(images, draws)).clamp(max=1), draws, WIDEST_PIXELS / pixel_size)
        level = self.noise * draws.uniform(images, 1, 1, 1)
        return (blurred + level * draws.normal(images, *images.shape[1:])).clamp(0, 1)

    def _gain(self, images: Tensor, draws: Draws) -> Tensor:
        chance, amount = draws.uniform(images, 2, 1, 1).split(1, 1)
        # About the voxels of `head_mask`, whose median the unit scale puts at 0.5, with or without air around.
        tissue = images > _AIR
        means = (images * tissue).sum((1, 2, 3), keepdim=True) / tissue.sum((1, 2, 3), keepdim=True).clamp(min=1)
        heads = torch.where(tissue & (images > means / 2), images, torch.nan).flatten(1)
        medians = heads.nanmedian(1).values.nan_to_num(0.5).clamp(min=0.05).view(-1, 1, 1, 1)
        return torch.where(chance < self.gain, (0.8 + 0.4 * amount) * 0.5 / medians, 1.0)

    def _bias(self, images: Tensor, draws: Draws) -> Tensor:
        return (self.bias_field * (2 * smooth_field(images, 3, draws) - 1)).exp()

    def _blur(self, images: Tensor, draws: Draws, pixels: float) -> Tensor:
        sigma = self.blur * draws.uniform(images, 1, 1, 1).flatten().expand(2, -1)
        if self.thickness > 0:
            thickness, rows_or_columns = draws.uniform(images, 2, 1, 1).flatten(1).unbind(1)
            further = self.thickness * pixels * (2 * thickness - 1).clamp(min=0)
            sigma = sigma + torch.stack([further * (rows_or_columns < 0.5), further * (rows_or_columns >= 0.5)])
        return gaussian_blur(images, *sigma.clamp(min=0.05), reach=math.ceil(_BLUR_REACH * pixels))


def smooth_field(images: Tensor, points: int, draws: Draws) -> Tensor:
    """Draw a smooth field (B, 1, H, W) through random values in [0, 1) at points x points places."""
    coarse = draws.uniform(images, 1, points, points)
    return functional.interpolate(coarse, size=list(images.shape[-2:]), mode="bicubic", align_corners=True)


def gaussian_blur(images: Tensor, row_sigma: Tensor, column_sigma: Tensor, *, reach: int = _BLUR_REACH) -> Tensor:
    """Blur slices (B, 1, H, W) by Gaussians with a standard deviation (B,) in pixels across rows and across columns."""
    batch = images.shape[0]
    distance = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernels = [(-(distance**2) / (2 * sigma.view(-1, 1) ** 2)).exp() for sigma in (row_sigma, column_sigma)]
    rows, columns = (kernel / kernel.sum(1, keepdim=True) for kernel in kernels)
    padded = functional.pad(images.transpose(0, 1), (reach,) * 4, mode="replicate")
    across_rows = functional.conv2d(padded, rows.view(batch, 1, -1, 1), groups=batch)
    return functional.conv2d(across_rows, columns.view(batch, 1, 1, -1), groups=batch).transpose(0, 1)
