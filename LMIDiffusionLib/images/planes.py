"""The planes in which a volume is cut into slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PLANES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
"""By name: which axes (0 to the right, 1 to the front, 2 up) run along the rows, the columns and through the slices."""

AXIAL = "axial"


def check_planes(names: Sequence[str]) -> None:
    """Check names of planes that a network is for.

    Raises:
        ValueError: one is unknown or there twice, or the axial one is not the first.
    """
    if list(names[:1]) != [AXIAL] or len(set(names)) < len(names) or not set(names) <= PLANES.keys():
        raise ValueError(f"planes is {list(names)!r}")


def in_plane(affine: NDArray[np.float64], plane: str) -> NDArray[np.float64]:
    """Reorder an affine (4, 4): along the rows, along the columns and through the slices of a plane."""
    return affine[[*PLANES[plane], 3]]
