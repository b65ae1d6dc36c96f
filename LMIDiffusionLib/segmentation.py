"""K-Means classes of target-modality intensities, fitted in training and never refitted on a translated image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TISSUES = ("CSF", "grey matter", "white matter")
"""Names of the three classes inside a brain mask, darkest first: their order in a T1w image."""


def fit_centres(intensities: NDArray[np.number], *, count: int, seed: int = 0) -> NDArray[np.float64]:
    """K-Means centres (count,), ascending, of intensities of any shape."""
    from sklearn.cluster import KMeans  # needed in training only

    kmeans = KMeans(count, n_init=4, random_state=seed).fit(intensities.reshape(-1, 1))
    return np.sort(kmeans.cluster_centers_.ravel()).astype(np.float64)


def nearest_centre(intensities: NDArray[np.number], centres: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Index of the nearest of the ascending centres for every intensity."""
    boundaries = (centres[:-1] + centres[1:]) / 2
    return np.searchsorted(boundaries, intensities, side="right").astype(np.uint8)


@dataclass(frozen=True)
class Segmentation:
    """A label map: `labels` (uint8) holds 0 outside and i for `names[i - 1]`."""

    labels: NDArray[np.uint8]
    names: tuple[str, ...]


def segment_classes(image: NDArray[np.number], centres: NDArray[np.floating]) -> Segmentation:
    """Intensity classes 1..k of a target-modality image, the darkest (air included) first."""
    names = tuple(f"Class {number}" for number in range(1, len(centres) + 1))
    return Segmentation(nearest_centre(image, centres) + np.uint8(1), names)


def segment_tissues(image: NDArray[np.number], centres: NDArray[np.floating], brain: NDArray[np.bool_]) -> Segmentation:
    """CSF, grey and white matter inside a brain mask, by the three centres fitted inside training brains."""
    return Segmentation(np.where(brain, nearest_centre(image, centres) + 1, 0).astype(np.uint8), TISSUES)
