"""Removal of shading that N4 leaves: white matter brighter deep in the brain and low in the head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_DEGREE = 2
_LEAST_WHITE = 1000  # voxels
_FITTED = 20_000  # voxels


def without_shading(slices: NDArray[np.float32], white: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Divide a scan by the smooth shading of its white matter, which is one tissue wherever it lies.

    The logarithm of the shading is a polynomial of second degree in position, fitted to what lies deep enough in white
    matter to be nothing else; beyond white matter it goes on as at its ends. Its median is 1.

    Args:
        slices: (S, H, W) in [0, 1].
        white: mask of white matter; too little of it leaves the scan as it is.
    """
    # Slow to import, and the groups of labels are read elsewhere too.
    from sklearn.linear_model import HuberRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    inside = ndimage.binary_erosion(white) & (slices > 0)
    places = np.argwhere(inside)
    if len(places) < _LEAST_WHITE:
        return slices
    extent = np.argwhere(white)
    ends = extent.min(0), extent.max(0)
    chosen = places[:: -(-len(places) // _FITTED)]
    polynomial = make_pipeline(PolynomialFeatures(_DEGREE, include_bias=False), HuberRegressor())
    polynomial.fit(_scaled(chosen, ends), np.log(slices[tuple(chosen.T)]))
    plane = np.indices((1, *slices.shape[1:])).reshape(3, -1).T
    # One slice after the other: terms of a whole volume of 1 mm would take gigabytes.
    places_of_slices = (plane + np.array([index, 0, 0]) for index in range(len(slices)))
    fields = [polynomial.predict(_scaled(np.clip(places, *ends), ends)) for places in places_of_slices]
    field = np.stack(fields).reshape(slices.shape)
    return np.minimum(slices / np.exp(field - np.median(field[inside])), 1).astype(np.float32)


def _scaled(places: NDArray[np.integer], ends: tuple[NDArray[np.integer], NDArray[np.integer]]) -> NDArray[np.float64]:
    """Scale voxel indices (n, 3) to coordinates that are -1 and 1 at the ends."""
    first, last = ends
    return 2 * (places - first) / np.maximum(last - first, 1) - 1
