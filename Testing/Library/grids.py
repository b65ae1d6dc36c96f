"""Arrays and affines that tests of volumes and of axial slices share."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

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
