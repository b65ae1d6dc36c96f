"""Scores of a translation against the true target, as the benchmark defines them.

Images are (N, H, W) arrays in [0, 1], label maps (N, H, W) arrays of integers, regions (N, H, W) masks of the pixels
that count, all of them where none is given. Most functions return N values, one a slice, NaN where there is nothing to
compare; those of a whole scan return one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Scores = NDArray[np.float64]
Region = NDArray[np.bool_]

# Of the SSIM: its window in pixels, whose reach is that on each side of the centre, and its constants.
_WINDOW_SIGMA, _WINDOW_REACH = 1.5, 5
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2


def mean_over(values: NDArray[np.number | np.bool_], region: Region | None = None) -> Scores:
    """Mean of each slice over the pixels of its region that have a value; NaN where there is none."""
    counting = ~np.isnan(values) if region is None else region & ~np.isnan(values)
    counts = counting.sum((1, 2))
    return np.where(counting, values, 0).sum((1, 2), dtype=np.float64) / np.where(counts > 0, counts, np.nan)


def psnr(image: NDArray[np.number], target: NDArray[np.number], region: Region | None = None) -> Scores:
    """Peak signal-to-noise ratio in dB for a data range of 1; infinite for equal slices."""
    error = mean_over(np.square(image.astype(np.float64) - target), region)
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)


def ssim_map(image: NDArray[np.number], target: NDArray[np.number]) -> NDArray[np.float64]:
    """Structural similarity (Wang et al. 2004) of every pixel: Gaussian window of sigma 1.5, data range 1.

    NaN where the window does not lie in the slice: those pixels do not count, as in scikit-image.
    """
    first, second = image.astype(np.float64), target.astype(np.float64)
    means = _blurred(first), _blurred(second)
    variances = _blurred(first**2) - means[0] ** 2, _blurred(second**2) - means[1] ** 2
    covariance = _blurred(first * second) - means[0] * means[1]
    luminance = (2 * means[0] * means[1] + _SSIM_C1) / (means[0] ** 2 + means[1] ** 2 + _SSIM_C1)
    similarity = np.full(image.shape, np.nan)
    inner = (slice(None), slice(_WINDOW_REACH, -_WINDOW_REACH), slice(_WINDOW_REACH, -_WINDOW_REACH))
    similarity[inner] = (luminance * (2 * covariance + _SSIM_C2) / (sum(variances) + _SSIM_C2))[inner]
    return similarity


def _blurred(images: NDArray[np.float64]) -> NDArray[np.float64]:
    return ndimage.gaussian_filter(images, (0, _WINDOW_SIGMA, _WINDOW_SIGMA), radius=(0, _WINDOW_REACH, _WINDOW_REACH))


def mean_absolute_error(image: NDArray[np.number], target: NDArray[np.number], region: Region | None = None) -> Scores:
    """Mean absolute difference of intensities."""
    return mean_over(np.abs(image.astype(np.float64) - target), region)


def label_agreement(labels: NDArray[np.integer], target: NDArray[np.integer], region: Region | None = None) -> Scores:
    """Share of pixels with equal labels, background included."""
    return mean_over(labels == target, region)


def dice(labels: NDArray[np.integer], target: NDArray[np.integer], label: int, region: Region | None = None) -> Scores:
    """Dice overlap of one label; NaN where neither map has it."""
    first, second = labels == label, target == label
    if region is not None:
        first, second = first & region, second & region
    total = first.sum((1, 2)) + second.sum((1, 2))
    return 2 * (first & second).sum((1, 2)) / np.where(total > 0, total, np.nan)


def macro_dice(
    labels: NDArray[np.integer], target: NDArray[np.integer], region: Region | None = None, *, classes: int
) -> Scores:
    """Mean Dice over labels 1 .. classes - 1 (0, the background, left out) that at least one of the maps has."""
    values = np.stack([dice(labels, target, label, region) for label in range(1, classes)])
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(present, values, 0).sum(0) / np.where(present.any(0), present.sum(0), np.nan)


def flicker(images: NDArray[np.number], target: NDArray[np.number]) -> Scores:
    """How much neighbouring slices differ, relative to the target: 1 for a volume as smooth across slices as it.

    Mean absolute second difference through the slices, which must follow one another; NaN for the first and last one.
    """
    bends = [np.abs(np.diff(each.astype(np.float64), 2, axis=0)).mean((1, 2)) for each in (images, target)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.pad(bends[0] / bends[1], 1, constant_values=np.nan)[: len(images)]


def correlation(images: NDArray[np.number], target: NDArray[np.number], region: Region) -> float:
    """Pearson's correlation over the region of a whole scan; NaN where either is constant there."""
    first, second = images[region].astype(np.float64), target[region].astype(np.float64)
    if len(first) < 2 or first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def gradient_energy(images: NDArray[np.number], target: NDArray[np.number], region: Region) -> float:
    """How sharp a scan is: sum of squared in-plane differences in the region, relative to the target's; 1 is equal."""
    energies = [float(_squared_gradient(each)[region].sum()) for each in (images, target)]
    return energies[0] / energies[1] if energies[1] > 0 else float("nan")


def _squared_gradient(images: NDArray[np.number]) -> NDArray[np.float64]:
    rows, columns = (np.diff(images.astype(np.float64), axis=axis, append=0) for axis in (1, 2))
    rows[:, -1], columns[:, :, -1] = 0, 0
    return np.square(rows) + np.square(columns)


def tone_matched(images: NDArray[np.number], target: NDArray[np.number], region: Region) -> NDArray[np.float32]:
    """A scan after the rising curve of intensities that brings it closest to its target inside the region.

    It takes out what distinguishes one scanner's contrast from another's, and leaves what distinguishes tissues: no
    rising curve undoes an inverted contrast. Pixels outside the region keep their intensities.
    """
    from sklearn.isotonic import IsotonicRegression

    matched = images.astype(np.float32)
    if region.any():
        matched[region] = IsotonicRegression().fit_transform(images[region], target[region])
    return matched
