"""Images of SimpleITK, whose space is left-posterior-superior, and NRRD and MetaImage files that it writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import SimpleITK as sitk

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse."""


def array_of(image: sitk.Image) -> NDArray[np.number]:
    """Return the voxels (I, J, K, ...) of an image."""
    import SimpleITK as sitk

    array: NDArray[np.number] = sitk.GetArrayFromImage(image).T
    return array


def affine_of(image: sitk.Image) -> NDArray[np.float64]:
    """Return the affine of an image, right-anterior-superior; its first three axes are those of space."""
    dimensions = image.GetDimension()
    known = min(3, dimensions)
    direction = np.reshape(image.GetDirection(), (dimensions, dimensions))[:known, :known]
    affine = np.eye(4)
    affine[:known, :known] = direction * image.GetSpacing()[:known]
    affine[:known, 3] = image.GetOrigin()[:known]
    return LPS_FROM_RAS @ affine


def image_of(array: NDArray[np.number], affine: NDArray[np.float64]) -> sitk.Image:
    """Make an image of voxels (I, J, K) with a right-anterior-superior affine; oblique axes stay as they are."""
    import SimpleITK as sitk

    in_lps = LPS_FROM_RAS @ affine
    spacing = np.linalg.norm(in_lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((in_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(in_lps[:3, 3].tolist())
    return image


def write_itk(path: Path, array: NDArray[np.number], affine: NDArray[np.float64], *, description: str = "") -> None:
    """Write a compressed NRRD or MetaImage file in place, by the ending of its name, with a description or none."""
    import SimpleITK as sitk

    image = image_of(array, affine)
    if description:
        image.SetMetaData("description", description)
    sitk.WriteImage(image, str(path), useCompression=True)
