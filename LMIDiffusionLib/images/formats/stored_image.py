"""Content of an image file, and checks that all formats share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...interface.notices import Notices

SLACK = 4096
"""Zero bytes that may follow the voxels: some disks and tapes fill up their blocks."""


class StoredImage(NamedTuple):
    """The content of an image file.

    Attributes:
        array: voxels, of any number of dimensions.
        affine: (4, 4) to millimeters, right-anterior-superior.
        header: of a NIfTI file.
        notices: about the file.
    """

    array: NDArray[np.number]
    affine: NDArray[np.float64]
    header: nib.Nifti1Header | None = None
    notices: Notices = ()


_WANTED = "give a NIfTI, NRRD, MetaImage or MGH file, or a folder of DICOM files"


def not_scalar(place: object) -> UserError:
    """Return the error about colors, vectors or complex numbers."""
    return UserError("holds colors, vectors or complex numbers; give a scalar gray-value volume.", place=place)


def damaged(place: object, reason: object) -> UserError:
    """Return the error about a file whose content is not what its header says."""
    text = next(iter(str(reason).splitlines()), "").rstrip(".") or type(reason).__name__
    return UserError(f"is damaged or truncated ({text}); copy it again.", place=place)


def unreadable(place: object, reason: object) -> UserError:
    """Return the error about a header that lacks something or says something impossible."""
    text = next(iter(str(reason).splitlines()), "").rstrip(".") or type(reason).__name__
    return UserError(f"is no readable scan ({text}); {_WANTED}.", place=place)


def not_a_scan(place: object, kind: str) -> UserError:
    """Return the error about a file of another kind, such as "a JPEG picture"."""
    return UserError(f"is {kind}, not a scan; {_WANTED}.", place=place)


def check_shape(shape: tuple[int, ...], place: object) -> None:
    """Refuse an image without voxels.

    Raises:
        UserError: a dimension is not above 0.
    """
    if not shape or min(shape) < 1:
        raise UserError(f"has no voxels (size {shape}); give a volume with an image in it.", place=place)


def size_in_bytes(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> int:
    """Return the number of bytes that voxels take."""
    return math.prod(map(int, shape)) * dtype.itemsize


def check_length(data: bytes | memoryview, expected: int, place: object) -> None:
    """Refuse a file that holds fewer or more voxels than its header says.

    Raises:
        UserError: `data` is shorter than expected, or longer by anything but a few zeros.
    """
    if len(data) < expected:
        raise damaged(place, "it has fewer voxels than its header says")
    rest = bytes(data[expected : expected + SLACK + 1])
    if len(rest) > SLACK or any(rest):
        raise damaged(place, "it has more data than its header says")


def array_from(
    data: bytes | memoryview, dtype: np.dtype[np.generic], shape: tuple[int, ...], place: Path
) -> NDArray[np.number]:
    """Make an array from an exact number of bytes, in which the first axis varies fastest.

    Raises:
        UserError: there are fewer or more voxels than the header says.
    """
    expected = size_in_bytes(shape, dtype)
    check_length(data, expected, place)
    flat = np.frombuffer(data, dtype, count=math.prod(shape))
    return flat.astype(dtype.newbyteorder("=")).reshape(shape, order="F")
