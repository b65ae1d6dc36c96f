"""The air around the head: a translation keeps the level that the source shows there, without its noise."""

from __future__ import annotations

import torch
from torch import Tensor

from .normalization import smoothed_within
from .slice_grid import pad_to

_SMOOTHING = 3.0  # millimeters


def smooth_air(slices: Tensor, air: Tensor, *, pixel_size: float) -> Tensor:
    """Smooth slices (B, 1, H, W) within the air (B, 1, H, W), and set all else to 0.

    Air has no contrast to translate, only a level; the generated head has no noise either.

    Args:
        slices: source intensities in [0, 1].
        air: its pixels, bool.
        pixel_size: side of the pixels in millimeters.
    """
    smooth = smoothed_within(slices[:, 0].numpy(), air[:, 0].numpy(), sigma=_SMOOTHING / pixel_size)
    return torch.from_numpy(smooth)[:, None]


def with_air(images: Tensor, slices: Tensor, outlines: Tensor, *, air: Tensor, pixel_size: float) -> Tensor:
    """Crop images to the shape of source slices, clip them to [0, 1], and replace all but the head by smooth air.

    Args:
        images: (B, 1, height, width), which `pad_to` may have enlarged.
        slices: source (B, 1, H, W) in [0, 1].
        outlines: pixels of the head (B, 1, H, W), bool.
        air: pixels (B, 1, H, W) that tell the level of the air, bool.
        pixel_size: side of the pixels in millimeters.
    """
    cropped = pad_to(images.clamp(0, 1).float().cpu(), (slices.shape[-2], slices.shape[-1]))
    return torch.where(outlines, cropped, smooth_air(slices, air, pixel_size=pixel_size))
