"""From the checkpoint's pixels to the finer ones of a source, whose edges guide the way."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

_REACH = 1  # coarse pixels on each side of the one whose neighbourhood is fitted
_SMALLEST_VARIANCE = 1e-3  # of the guide, below which its detail counts as noise


def guided_upsampling(images: Tensor, guide: Tensor, fine_guide: Tensor) -> Tensor:
    """Enlarge images and give them the detail that only the finer guide shows.

    In every neighbourhood the image is a linear function of the guide (the guided filter of He et al. 2013), whose
    slope turns the guide's missing detail into the image's. Flat neighbourhoods have a slope of 0.

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


def _mean(images: Tensor) -> Tensor:
    padded = functional.pad(images, (_REACH,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, 2 * _REACH + 1, stride=1)
