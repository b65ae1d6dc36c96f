"""Scores of a translation against the true target, slice by slice, as the benchmark defines them.

Images are (N, H, W) arrays in [0, 1], label maps (N, H, W) arrays of integers; every function returns N values. A value
is NaN where there is nothing to compare.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Scores = NDArray[np.float64]

_WINDOW_REACH = 5  # pixels on each side of the SSIM's centre


def psnr(image: NDArray[np.number], target: NDArray[np.number]) -> Scores:
    """Peak signal-to-noise ratio in dB for a data range of 1; infinite for equal slices."""
    error = np.square(image.astype(np.float64) - target).mean((1, 2))
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)


def ssim(image: NDArray[np.number], target: NDArray[np.number]) -> Scores:
    """Structural similarity (Wang et al. 2004) with a Gaussian window of sigma 1.5 and a data range of 1.

    Mean over the pixels whose whole window lies in the slice, as in scikit-image.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # comes with the extra `train`

    first, second = (torch.from_numpy(each.astype(np.float64))[:, None] for each in (image, target))
    _, pixels = structural_similarity_index_measure(
        first, second, sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    return pixels[..., _WINDOW_REACH:-_WINDOW_REACH, _WINDOW_REACH:-_WINDOW_REACH].mean((1, 2, 3)).numpy()


def mean_absolute_error(image: NDArray[np.number], target: NDArray[np.number]) -> Scores:
    """Mean absolute difference of intensities."""
    return np.abs(image.astype(np.float64) - target).mean((1, 2))


def label_agreement(labels: NDArray[np.integer], target: NDArray[np.integer]) -> Scores:
    """Share of pixels with equal labels, background included."""
    return (labels == target).mean((1, 2), dtype=np.float64)


def dice(labels: NDArray[np.integer], target: NDArray[np.integer], label: int) -> Scores:
    """Dice overlap of one label; NaN where neither map has it."""
    first, second = labels == label, target == label
    total = first.sum((1, 2)) + second.sum((1, 2))
    with np.errstate(invalid="ignore"):
        return 2 * (first & second).sum((1, 2)) / np.where(total > 0, total, np.nan)


def macro_dice(labels: NDArray[np.integer], target: NDArray[np.integer], *, classes: int) -> Scores:
    """Mean Dice over labels 1 .. classes - 1 (0, the background, left out) that at least one of the maps has."""
    values = np.stack([dice(labels, target, label) for label in range(1, classes)])
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
