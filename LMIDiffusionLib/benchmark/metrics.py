"""Measures of a translation against the true target, as the benchmark defines them.

Images are (N, H, W) arrays in [0, 1], label maps (N, H, W) arrays of integers, regions (N, H, W) masks of the pixels
that count, by default all. Most functions return N values, one for each slice, NaN where there is nothing to compare;
the measures of a whole scan return one value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ..images.normalization import smoothed_within

SliceValues = NDArray[np.float64]
Region = NDArray[np.bool_]

_SSIM_SIGMA, _SSIM_REACH = 1.5, 5  # pixels: the Gaussian window, and how far it reaches from its center


def mean_over(values: NDArray[np.number | np.bool_], region: Region | None = None) -> SliceValues:
    """Return the mean of each slice over the pixels of its region that are not NaN; NaN for an empty region."""
    counting = ~np.isnan(values) if region is None else region & ~np.isnan(values)
    counts = counting.sum((1, 2))
    return np.where(counting, values, 0).sum((1, 2), dtype=np.float64) / np.where(counts > 0, counts, np.nan)


def psnr(image: NDArray[np.number], target: NDArray[np.number], region: Region | None = None) -> SliceValues:
    """Return the peak signal-to-noise ratio in dB for a data range of 1; infinite for equal slices."""
    error = mean_over(np.square(image.astype(np.float64) - target), region)
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)


def ssim_map(image: NDArray[np.number], target: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the structural similarity (Wang et al. 2004) of every pixel, by a Gaussian window of sigma 1.5.

    The data range is 1. Pixels whose window leaves the slice are NaN and do not count, as in scikit-image's mean.
    """
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": _SSIM_SIGMA, "use_sample_covariance": False}
    similarity = np.full(image.shape, np.nan)
    inner = slice(_SSIM_REACH, -_SSIM_REACH)
    for row, first, second in zip(similarity, image.astype(np.float64), target.astype(np.float64), strict=True):
        row[inner, inner] = structural_similarity(first, second, data_range=1, full=True, **options)[1][inner, inner]
    return similarity


def mean_absolute_error(
    image: NDArray[np.number], target: NDArray[np.number], region: Region | None = None
) -> SliceValues:
    """Return the mean absolute difference of intensities."""
    return mean_over(np.abs(image.astype(np.float64) - target), region)


def label_agreement(
    labels: NDArray[np.integer], target: NDArray[np.integer], region: Region | None = None
) -> SliceValues:
    """Return the share of pixels with equal labels, background included."""
    return mean_over(labels == target, region)


def dice(
    labels: NDArray[np.integer], target: NDArray[np.integer], label: int, region: Region | None = None
) -> SliceValues:
    """Return the Dice overlap of one label; NaN where neither map has it."""
    first, second = labels == label, target == label
    if region is not None:
        first, second = first & region, second & region
    total = first.sum((1, 2)) + second.sum((1, 2))
    return 2 * (first & second).sum((1, 2)) / np.where(total > 0, total, np.nan)


def macro_dice(
    labels: NDArray[np.integer], target: NDArray[np.integer], region: Region | None = None, *, classes: int
) -> SliceValues:
    """Return the mean Dice over the labels 1 to classes - 1, without the background 0, that either map has."""
    values = np.stack([dice(labels, target, label, region) for label in range(1, classes)])
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(present, values, 0).sum(0) / np.where(present.any(0), present.sum(0), np.nan)


def flicker(images: NDArray[np.number], target: NDArray[np.number]) -> SliceValues:
    """Return the mean absolute second difference through consecutive slices, relative to the target's.

    It is 1 for a volume that is as smooth across slices as the target, and NaN for the first and the last slice.
    """
    bends = [np.abs(np.diff(each.astype(np.float64), 2, axis=0)).mean((1, 2)) for each in (images, target)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.pad(bends[0] / bends[1], 1, constant_values=np.nan)[: len(images)]


def correlation(images: NDArray[np.number], target: NDArray[np.number], region: Region) -> float:
    """Return Pearson's correlation over the region of a whole scan; NaN where either is constant there."""
    first, second = images[region].astype(np.float64), target[region].astype(np.float64)
    if len(first) < 2 or first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def gradient_energy(images: NDArray[np.number], target: NDArray[np.number], region: Region) -> float:
    """Return the sum of squared in-plane differences in a region relative to the target's; 1 is equally sharp."""
    energies = [float(_squared_gradient(each)[region].sum()) for each in (images, target)]
    return energies[0] / energies[1] if energies[1] > 0 else float("nan")


def _squared_gradient(images: NDArray[np.number]) -> NDArray[np.float64]:
    rows, columns = (np.diff(images.astype(np.float64), axis=axis, append=0) for axis in (1, 2))
    rows[:, -1], columns[:, :, -1] = 0, 0
    return np.square(rows) + np.square(columns)


def coverage(
    images: NDArray[np.number], target: NDArray[np.number], expected: NDArray[np.number], region: Region
) -> float:
    """Return the share of a region whose error is at most twice the expected one; NaN if the region is empty.

    It is .95 for normal errors whose standard deviation is the expected error.
    """
    within = np.abs(images.astype(np.float64) - target) <= 2 * expected
    return float(within[region].mean()) if region.any() else float("nan")


def error_rank_correlation(
    images: NDArray[np.number],
    target: NDArray[np.number],
    expected: NDArray[np.number],
    region: Region,
    *,
    sigma: float,
) -> float:
    """Return Spearman's correlation of expected and absolute error over a region; NaN where either is constant.

    Both maps are smoothed inside the region by a Gaussian of `sigma` pixels first: an expected error tells of places,
    not of single pixels.
    """
    error = np.abs(images.astype(np.float64) - target)
    first, second = (
        smoothed_within(each.astype(np.float64), region, sigma=sigma)[region] for each in (error, expected)
    )
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)


def tone_matched(images: NDArray[np.number], target: NDArray[np.number], region: Region) -> NDArray[np.float32]:
    """Map the intensities of a scan by the rising curve that brings it closest to its target inside the region.

    The curve removes differences between the contrasts of two scanners and keeps errors between tissues: no rising
    curve undoes an inverted contrast. Pixels outside the region keep their intensities.
    """
    from sklearn.isotonic import IsotonicRegression

    matched = images.astype(np.float32)
    if region.any():
        matched[region] = IsotonicRegression().fit_transform(images[region], target[region])
    return matched
