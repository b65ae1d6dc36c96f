"""K-Means classes of target-modality intensities: fitted in training, never refitted on a translated image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TISSUES = ("CSF", "gray matter", "white matter")
"""Names of the three classes inside a brain mask, in the order of their labels."""

TISSUES_FROM_DARK = {"T1w": ("CSF", "gray matter", "white matter")}
"""Tissues from dark to bright, for modalities in which every scan has the same order."""


def fit_centers(intensities: NDArray[np.number], *, count: int, seed: int = 0) -> NDArray[np.float64]:
    """Fit K-Means to intensities of any shape and return the centers (count,), ascending."""
    from sklearn.cluster import KMeans  # slow to import; only training needs it

    kmeans = KMeans(count, n_init=4, random_state=seed).fit(intensities.reshape(-1, 1))
    return np.sort(kmeans.cluster_centers_.ravel()).astype(np.float64)


def nearest_center(intensities: NDArray[np.number], centers: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the index of the nearest of the ascending centers for every intensity."""
    boundaries = (centers[:-1] + centers[1:]) / 2
    return np.searchsorted(boundaries, intensities, side="right").astype(np.uint8)


@dataclass(frozen=True)
class Segmentation:
    """A label map and the names of its labels.

    Attributes:
        labels: uint8, with the image's shape; label i means `names[i - 1]`, 0 means outside.
        names: names of the classes or tissues.
    """

    labels: NDArray[np.uint8]
    names: tuple[str, ...]


def segment_classes(image: NDArray[np.number], centers: NDArray[np.floating]) -> Segmentation:
    """Assign each voxel to one of the intensity classes 1..k; class 1 is the darkest and includes air.

    Args:
        image: target-modality intensities in [0, 1] of any shape, such as a translation.
        centers: (k,) K-Means centers, ascending, such as `Checkpoint.centers` returns.
    """
    names = tuple(f"Class {number}" for number in range(1, len(centers) + 1))
    return Segmentation(nearest_center(image, centers) + np.uint8(1), names)


def segment_tissues(image: NDArray[np.number], centers: Mapping[str, float], brain: NDArray[np.bool_]) -> Segmentation:
    """Assign each voxel inside a brain mask to the tissue with the nearest center.

    Labels follow the names, not the brightness: fluid is the darkest tissue in T1w and the brightest in T2w.

    Args:
        image: target-modality intensities in [0, 1] of any shape.
        centers: center of each tissue, such as `Checkpoint.tissue_centers`; labels count from 1 in this order.
        brain: mask with the image's shape.
    """
    values = np.array([*centers.values()])
    from_dark = np.argsort(values)
    tissues = from_dark[nearest_center(image, values[from_dark])] + 1
    return Segmentation(np.where(brain, tissues, 0).astype(np.uint8), tuple(centers))


def named_centers(centers: NDArray[np.floating], from_dark: Sequence[str]) -> dict[str, float]:
    """Name ascending centers by their tissues; the result has the order of `TISSUES`."""
    found = dict(zip(from_dark, centers.tolist(), strict=True))
    return {name: found[name] for name in TISSUES}
