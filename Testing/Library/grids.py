"""Arrays and affines that tests of volumes and of axial slices share."""

import math

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from LMIDiffusionLib.images.volume import Volume

Affine = NDArray[np.float64]
Array = NDArray[np.number]

SHAPE = (11, 12, 13)


def counting_array(shape: tuple[int, ...] = SHAPE, dtype: str = "int16") -> Array:
    return (np.arange(math.prod(shape)) % 120).reshape(shape).astype(dtype)


def rotation(axis: tuple[float, float, float], degrees: float) -> Affine:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(degrees * np.array(axis) / np.linalg.norm(axis), degrees=True).as_matrix()
    return matrix


def affine_of(spacing: tuple[float, float, float], origin: tuple[float, float, float] = (-31.7, 12.3, 5.1)) -> Affine:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return affine


AFFINES = {
    "straight": affine_of((0.9, 1.1, 3.3)),
    "left-handed": affine_of((-0.9, 1.1, 3.3)),
    "oblique": rotation((1, 2, 3), 25) @ affine_of((0.9, 1.1, 3.3)),
    "oblique left-handed": rotation((3, -1, 2), 33) @ affine_of((0.9, -1.1, 3.3)),
    "permuted": affine_of((0.9, 1.1, 3.3))[:, [2, 0, 1, 3]],
}


def assert_same_in_space(found: Volume, expected: Volume, tolerance: float = 1e-4) -> None:
    """Equal voxels in equal places to a ten thousandth of a millimeter, whatever the order of the axes."""
    one, other = (_canonical(each) for each in (found, expected))
    np.testing.assert_array_equal(one.array, other.array)
    corners = np.array([*np.ndindex(2, 2, 2)]) * (np.array(one.array.shape) - 1)
    here, there = (nib.affines.apply_affine(each.affine, corners) for each in (one, other))
    np.testing.assert_allclose(here, there, rtol=0, atol=tolerance)


def _canonical(volume: Volume) -> Volume:
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.array.astype(np.float64), volume.affine))
    return Volume(np.asarray(image.dataobj), image.affine)
