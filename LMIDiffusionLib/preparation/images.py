"""Conversion of volumes to SimpleITK images, whose space is left-posterior-superior."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..images.itk import image_of
from ..images.volume import Volume

# Smaller cosines between axes are rounding errors of a header.
_RIGHT_ANGLE = 1e-3


def to_image(volume: Volume) -> sitk.Image:
    """Convert a volume without resampling; axes that are not at right angles stay oblique."""
    image = image_of(volume.array, volume.affine)
    direction = np.reshape(image.GetDirection(), (3, 3))
    if _has_right_angles(direction):
        image.SetDirection(_nearest_rotation(direction).ravel().tolist())
    return image


def with_right_angles(image: sitk.Image) -> sitk.Image:
    """Resample an image with oblique axes linearly onto axes at right angles about the same center."""
    direction = np.reshape(image.GetDirection(), (3, 3))
    if _has_right_angles(direction):
        return image
    grid = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    grid.SetSpacing(image.GetSpacing())
    grid.SetDirection(_nearest_rotation(direction).ravel().tolist())
    grid.SetOrigin((center(image) - center(grid)).tolist())
    return sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0.0)


def center(image: sitk.Image) -> NDArray[np.float64]:
    """Return the center of the field of view in millimeters."""
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()]))


def _has_right_angles(direction: NDArray[np.float64]) -> bool:
    return np.allclose(direction.T @ direction, np.eye(3), atol=_RIGHT_ANGLE)


def _nearest_rotation(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest matrix with orthonormal columns, which may be a mirror image."""
    left, _, right = np.linalg.svd(direction)
    nearest: NDArray[np.float64] = left @ right
    return nearest
