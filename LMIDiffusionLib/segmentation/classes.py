"""K-Means classes of target-modality intensities, fitted in training and never refitted on a translated image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TISSUES = ("CSF", "grey matter", "white matter")
"""What the three classes inside a brain mask are, in the order of their labels."""

TISSUES_FROM_DARK = {"T1w": ("CSF", "grey matter", "white matter")}
"""By modality, the order in which they brighten, where it is the same in every scan."""


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
    """A label map.

    Attributes:
        labels: uint8, of the image's shape; i stands for `names[i - 1]`, 0 for outside.
        names: of the classes or tissues.
    """

    labels: NDArray[np.uint8]
    names: tuple[str, ...]


def segment_classes(image: NDArray[np.number], centres: NDArray[np.floating]) -> Segmentation:
    """Intensity classes 1..k of a target-modality image, the darkest (air included) first.

    Args:
        image: intensities in [0, 1] of any shape, such as a translation's.
        centres: (k,) K-Means centres, ascending, such as `Checkpoint.centres` has them.
    """
    names = tuple(f"Class {number}" for number in range(1, len(centres) + 1))
    return Segmentation(nearest_centre(image, centres) + np.uint8(1), names)


def segment_tissues(image: NDArray[np.number], centres: Mapping[str, float], brain: NDArray[np.bool_]) -> Segmentation:
    """The tissue with the nearest centre inside a brain mask.

    Names say which tissue is which, not brightness: fluid is the darkest in a T1w image and the brightest in a T2w one.

    Args:
        image: target-modality intensities in [0, 1] of any shape.
        centres: one of each tissue, such as `Checkpoint.tissue_centres`; labels count from 1 in their order.
        brain: mask of the image's shape.
    """
    values = np.array([*centres.values()])
    from_dark = np.argsort(values)
    tissues = from_dark[nearest_centre(image, values[from_dark])] + 1
    return Segmentation(np.where(brain, tissues, 0).astype(np.uint8), tuple(centres))


def named_centres(centres: NDArray[np.floating], from_dark: Sequence[str]) -> dict[str, float]:
    """Ascending centres by the names of their tissues, in the order of `TISSUES`."""
    found = dict(zip(from_dark, centres.tolist(), strict=True))
    return {name: found[name] for name in TISSUES}
