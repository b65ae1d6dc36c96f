"""The intensity scale that makes volumes of different scanners comparable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import UserError
from ..interface.notices import Notices, warn
from .background import zero_background

SCALE_NAME = "twice the median of the head"
"""Name of this scale in checkpoints; a checkpoint trained with another one cannot be used."""

LEAST_HEAD_SHARE = 0.1
"""Least share of head in the slices that models learn from and that scores are taken on."""

_HISTOGRAM_BINS = 256
_SAMPLE, _BRIGHT_PERCENTILE, _OUTLYING = 100_000, 99.9, 20
_OUTLINE_THRESHOLD = 0.25  # of Otsu's
_OUTLINE_MARGIN = 2  # pixels


def otsu_threshold(values: NDArray[np.floating]) -> float:
    """Return the threshold that maximizes the between-class variance of the histogram (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=_HISTOGRAM_BINS)
    centers = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts)[:-1], counts.sum() - np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * centers)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    return float(centers[np.nanargmax(below * above * difference**2)])


def head_mask(volume: NDArray[np.floating], *, otsu: float | None = None) -> NDArray[np.bool_]:
    """Return the voxels of the head: above 0.7 times Otsu's threshold, which may be given where it is known."""
    return np.asarray(volume > 0.7 * (otsu_threshold(volume) if otsu is None else otsu))


def head_outlines(
    volume: NDArray[np.floating], slices: NDArray[np.floating], *, otsu: float | None = None
) -> NDArray[np.bool_]:
    """Outline the head in slices (S, H, W), holes filled and slightly enlarged: all else is air in any contrast.

    Its threshold lies well below that of `head_mask`, because skin, muscle and bone are dark in some contrasts.
    """
    rough = slices > _OUTLINE_THRESHOLD * (otsu_threshold(volume) if otsu is None else otsu)
    outlines = np.zeros_like(rough)
    for outline, each in zip(outlines, rough, strict=True):
        # Opening takes away the specks of noise, which filling and growing would make a head of.
        filled = ndimage.binary_fill_holes(ndimage.binary_opening(each))
        ndimage.binary_dilation(filled, iterations=_OUTLINE_MARGIN, output=outline)
    return outlines


def smoothed_within(slices: NDArray[np.floating], mask: NDArray[np.bool_], *, sigma: float) -> NDArray[np.float32]:
    """Smooth slices (S, H, W) inside a mask by a Gaussian of `sigma` pixels, from values inside the mask alone.

    Outside the mask they are 0 (normalized convolution, Knutsson and Westin 1993).
    """
    widths = (0, sigma, sigma)
    share = ndimage.gaussian_filter(mask.astype(np.float32), widths)
    sums = ndimage.gaussian_filter(np.where(mask, slices, 0).astype(np.float32), widths)
    return np.divide(sums, share, out=np.zeros_like(sums), where=mask)


def head_median(volume: NDArray[np.floating]) -> float:
    """Return the median intensity of the head; 0.5 in a volume on the unit scale."""
    return float(np.median(volume[head_mask(volume)]))


def _without_outliers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Darken voxels that outshine all others by far, which would leave the head in the lowest bin of the histogram."""
    sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
    bright = float(np.percentile(sample, _BRIGHT_PERCENTILE))
    is_outlying = 0 < bright < values.max() / _OUTLYING
    return np.minimum(values, 2 * bright) if is_outlying else values


def to_unit_scale(volume: NDArray[np.number]) -> NDArray[np.float32]:
    """Scale a volume like `unit_scale`, with a `ScanWarning` in place of a notice."""
    scaled, notices = unit_scale(volume)
    warn(notices)
    return scaled


def unit_scale(volume: NDArray[np.number]) -> tuple[NDArray[np.float32], Notices]:
    """Divide a volume by twice the median of its head and clip it to [0, 1].

    A volume whose background is not zero (z-scored, with a constant added, filled with -32768 outside a mask) is first
    brought to one where it is.

    Returns:
        The scaled volume, and a notice if its background was not zero.

    Raises:
        UserError: the volume is constant.
    """
    values, notices = zero_background(volume.astype(np.float64))
    if values.min() == values.max():
        raise UserError("The volume is constant, so that it has no intensity scale; give one with an image in it.")
    return np.clip(values / (2 * head_median(_without_outliers(values))), 0, 1).astype(np.float32), notices
