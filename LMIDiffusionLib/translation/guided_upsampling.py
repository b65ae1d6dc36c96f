"""Upsampling from the checkpoint's pixels to the finer ones of a source, guided by the edges of the source."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..images.slice_grid import SliceGrid

_REACH = 1  # coarse pixels on each side of the one whose neighborhood is fitted
_SMALLEST_VARIANCE = 1e-3  # of the guide, below which its detail counts as noise


def guided_upsampling(images: Tensor, guide: Tensor, fine_guide: Tensor) -> Tensor:
    """Enlarge images and add the detail that only the finer guide shows.

    In every neighborhood the image is a linear function of the guide (the guided filter of He et al. 2013), whose
    slope turns the guide's missing detail into the image's. Flat neighborhoods have a slope of 0.

    Args:
        images: (B, C, h, w) in [0, 1].
        guide: the source (B, 1, h, w) on the same pixels.
        fine_guide: the source (B, 1, H, W) on its own pixels, of the same field of view.

    Returns:
        (B, C, H, W) in [0, 1].
    """
    image_mean, guide_mean = _mean(images), _mean(guide)
    covariance = _mean(guide * images) - guide_mean * image_mean
    variance = _mean(guide**2) - guide_mean**2
    slope = _mean(covariance / (variance + _SMALLEST_VARIANCE))
    shape = [fine_guide.shape[-2], fine_guide.shape[-1]]
    enlarged, coarse, slope = (
        functional.interpolate(each, size=shape, mode="bilinear", align_corners=False)
        for each in (images, guide, slope)
    )
    return (enlarged + slope * (fine_guide - coarse)).clamp(0, 1)


def to_plane_pixels(images: Tensor, grid: SliceGrid, slices: Tensor, plane_slices: Tensor) -> Tensor:
    """Resample images of slices to the volume's own pixels, guided by the source where these are finer.

    Args:
        images: (B, C, H, W) in [0, 1].
        grid: of the slices.
        slices: source (B, 1, H, W).
        plane_slices: source (B, 1, rows, columns) on the volume's own pixels.

    Returns:
        (B, C, rows, columns).
    """
    if any(fine > coarse for fine, coarse in zip(grid.plane_shape, grid.slice_shape, strict=True)):
        return guided_upsampling(images, slices, plane_slices)
    return grid.to_plane(images)


def _mean(images: Tensor) -> Tensor:
    padded = functional.pad(images, (_REACH,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, 2 * _REACH + 1, stride=1)
