"""Rules for the geometry in headers of all formats: complete, finite and consistent, or refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 1e-3  # of lengths and scalar products of direction cosines
# Smallest and largest extent, in millimeters, of something that may be a head.
_PLAUSIBLE = (15.0, 3000.0)

MILLIMETERS = {"": 1.0, "mm": 1.0, "millimeter": 1.0, "cm": 10.0, "m": 1000.0, "meter": 1000.0}
MILLIMETERS |= {"um": 0.001, "micron": 0.001, "micrometer": 0.001, "\u00b5m": 0.001, "?": 1.0}
"""Millimeters in a unit of length, by the names that headers use; without a name, numbers are millimeters."""


def are_orthonormal(directions: NDArray[np.float64]) -> bool:
    """True for finite direction cosines (3, N), a direction a column, of length 1 and at right angles to 0.001."""
    if not np.isfinite(directions).all():
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.abs(directions.T @ directions - np.eye(directions.shape[1])).max() <= _TOLERANCE)


def has_right_angles(affine: NDArray[np.float64]) -> bool:
    """True for an affine (4, 4) whose axes are at right angles to each other, to 0.001."""
    steps = affine[:3, :3]
    return are_orthonormal(steps / np.linalg.norm(steps, axis=0))


def in_millimeters(affine: NDArray[np.float64], shape: tuple[int, ...], factor: float) -> NDArray[np.float64]:
    """Convert an affine (4, 4) of another unit to millimeters, unless the unit is a mere label.

    Args:
        affine: from voxel indices to the unit.
        shape: voxels along each axis.
        factor: millimeters in the unit; 1 is taken instead if only that makes the volume as large as a head may be.
    """
    with np.errstate(all="ignore"):
        extent = float(np.median(np.linalg.norm(affine[:3, :3], axis=0) * (*shape, 1, 1)[:3]))
    least, most = _PLAUSIBLE
    if not least < extent * factor < most and least < extent < most:
        return affine
    scaled = affine.copy()
    scaled[:3] *= factor
    return scaled
