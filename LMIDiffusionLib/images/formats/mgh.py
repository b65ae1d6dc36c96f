"""FreeSurfer's MGH: a binary header of 284 bytes, big endian, then the voxels (surfer.nmr.mgh.harvard.edu)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry import are_orthonormal
from .stored_file import StoredFile
from .stored_image import StoredImage, array_from, check_shape, damaged, size_in_bytes, unreadable

_HEADER = np.dtype(
    [
        ("version", ">i4"),
        ("shape", ">i4", 4),
        ("kind", ">i4"),
        ("degrees_of_freedom", ">i4"),
        ("has_geometry", ">i2"),
        ("spacing", ">f4", 3),
        ("directions", ">f4", (3, 3)),  # a direction a row
        ("center", ">f4", 3),
    ]
)
_KINDS = {0: "u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_START = 284  # of the voxels


def is_mgh(head: bytes) -> bool:
    """Recognize the first bytes of an MGH file of scalars."""
    return head.startswith(b"\0\0\0\1") and int.from_bytes(head[20:24], "big") in _KINDS


def read_mgh(stored: StoredFile) -> StoredImage:
    """Read an MGH file.

    Raises:
        UserError: it is truncated, has no voxels, or does not say where they lie.
    """
    if len(stored.head) < _START:
        raise damaged(stored.path, "its header is cut")
    header = np.frombuffer(stored.head, _HEADER, 1)[0]
    shape, dtype = tuple(map(int, header["shape"])), np.dtype(_KINDS[int(header["kind"])])
    check_shape(shape, stored.path)
    affine = _affine(stored, header, shape)
    end = _START + size_in_bytes(shape, dtype)  # scan parameters, then tags of any kind, may follow
    return StoredImage(array_from(stored.read(end)[_START:end], dtype, shape, stored.path), affine)


def _affine(stored: StoredFile, header: np.void, shape: tuple[int, ...]) -> NDArray[np.float64]:
    spacing, directions, center = (np.array(header[name], np.float64) for name in ("spacing", "directions", "center"))
    if header["has_geometry"] != 1:
        raise unreadable(stored.path, "its goodRASFlag is not 1: it does not say where its voxels lie")
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise unreadable(stored.path, "its voxel sizes (delta) are not above 0")
    if not are_orthonormal(directions.T):
        raise unreadable(stored.path, "its direction cosines (Mdc) are no unit vectors at right angles")
    if not np.isfinite(center).all():
        raise unreadable(stored.path, "its center (Pxyz_c) is not finite")
    affine = np.eye(4)
    affine[:3, :3] = directions.T * spacing
    affine[:3, 3] = center - affine[:3, :3] @ np.array(shape[:3]) / 2
    return affine
