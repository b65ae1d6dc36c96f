"""NIfTI and Analyze, in one file or two, whose headers nibabel understands once they are known to be sound."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.fileholders import FileHolder

from ...errors import UserError
from ...interface.notices import Notice, NoticeKind, Notices
from ..files import is_file
from ..geometry import in_millimeters
from .stored_file import StoredFile
from .stored_image import (
    StoredImage,
    check_length,
    check_shape,
    damaged,
    not_scalar,
    size_in_bytes,
    unreadable,
)

_NIFTI1, _NIFTI1_PAIR = (b"n+1\0", b"ni1\0")
_NIFTI2, _NIFTI2_PAIR = (b"n+2\0", b"ni2\0")
_ANALYZE_SIZE = 348
_LARGEST_MATRIX = 100_000  # bytes of the file beside an Analyze file
_UNIT_BITS = 7
_UNITS = {1: 1000.0, 3: 0.001}  # millimeters, of NIfTI's xyzt_units
_SPATIAL_AXES = 3
_LARGEST_CODE = 5  # of coordinate systems
_QUATERNION_TOLERANCE = 4e-7  # nibabel's
_INTERCEPT, _SLOPE = "scl_inter", "scl_slope"


def read_nifti(stored: StoredFile) -> StoredImage:
    """Read a NIfTI or Analyze file, whose other half may lie beside it.

    Raises:
        UserError: it is of no known format, damaged, truncated, not scalar, or does not say where its voxels lie.
    """
    path, head = stored.path, stored.head
    with _without_remarks():
        try:
            kind = _kind_of(head)
            if kind in (nib.Nifti1Image, nib.Nifti2Image):
                return _read(kind, stored, stored)
            ending = path.name.lower().removesuffix(".gz")[-4:]
            if ending == ".img":
                header = StoredFile(_partner(path, ".hdr"))
                return _read(_kind_of(header.head) or _analyze(header), header, stored)
            if ending == ".hdr":
                return _read(kind or _analyze(stored), stored, StoredFile(_partner(path, ".img")))
        except UserError:
            raise
        except Exception as error:  # damaged headers make nibabel raise anything
            raise unreadable(path, error) from error
    raise unreadable(path, "its content is of no format known here" if head else "it is empty")


def voxels_of(image: nib.spatialimages.SpatialImage, place: Path | str) -> StoredImage:
    """Load the voxels of an image of nibabel, which `place` names in messages.

    Raises:
        UserError: it is damaged, without voxels or not scalar.
    """
    dtype = image.get_data_dtype()
    if dtype.names or dtype.kind not in "iuf":
        raise not_scalar(place)
    check_shape(image.shape, place)
    try:
        array = np.asanyarray(image.dataobj)
    except Exception as error:  # damaged files make nibabel raise anything
        raise damaged(place, error) from error
    header = image.header if isinstance(image.header, nib.Nifti1Header) else None
    unit = 0 if header is None else int(header["xyzt_units"]) & _UNIT_BITS
    affine = in_millimeters(np.array(image.affine, np.float64), image.shape, _UNITS.get(unit, 1.0))
    return StoredImage(array, affine, header, _orientation_notices(image, place))


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Keep nibabel's remarks on headers, which it repairs, from the user."""
    logger = nib.imageglobals.logger
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _kind_of(head: bytes) -> Any:
    """Return nibabel's class for a NIfTI header; None for others."""
    kinds = {_NIFTI1: nib.Nifti1Image, _NIFTI1_PAIR: nib.Nifti1Pair}
    kinds_of_2 = {_NIFTI2: nib.Nifti2Image, _NIFTI2_PAIR: nib.Nifti2Pair}
    return kinds.get(head[344:348]) or kinds_of_2.get(head[4:8])


def _analyze(stored: StoredFile) -> Any:
    sizes = (int.from_bytes(stored.head[:4], order) for order in ("little", "big"))
    if _ANALYZE_SIZE not in sizes or len(stored.head) < _ANALYZE_SIZE:
        raise unreadable(stored.path, "its header is neither of NIfTI nor of Analyze")
    return nib.Spm99AnalyzeImage


def _read(kind: Any, stored_header: StoredFile, stored: StoredFile) -> StoredImage:
    """Read an image whose header and voxels are in one file or in two."""
    path = stored_header.path
    size = kind.header_class.template_dtype.itemsize
    if len(stored_header.head) < size:
        raise damaged(path, "its header is cut")
    header = kind.header_class(stored_header.head[:size], check=False)
    shape, start = _checked_shape(header, path), _start(header, path, kind)
    if issubclass(kind, nib.Nifti1Pair):
        _check_place(header, path)
        if np.isfinite(header[_SLOPE]) and not np.isfinite(header[_INTERCEPT]):
            header[_INTERCEPT] = 0
    else:
        _check_spacing(header, path)
    dtype = header.get_data_dtype()
    if dtype.names or dtype.kind not in "iuf":
        raise not_scalar(path)
    end = start + size_in_bytes(shape, dtype)
    data = stored.read(end)
    check_length(data[start:], end - start, stored.path)
    return voxels_of(_image(kind, header, stored_header, data[:end]), path)


def _image(kind: Any, header: Any, stored_header: StoredFile, data: memoryview) -> nib.spatialimages.SpatialImage:
    size = len(header.binaryblock)
    if kind in (nib.Nifti1Image, nib.Nifti2Image):
        holders = {"image": FileHolder(fileobj=io.BytesIO(header.binaryblock + bytes(data[size:])))}
    else:
        rest = stored_header.head[size:]
        holders = {
            "header": FileHolder(fileobj=io.BytesIO(header.binaryblock + rest)),
            "image": FileHolder(fileobj=io.BytesIO(bytes(data))),
        }
    if kind is nib.Spm99AnalyzeImage:
        matrix = _matrix_file(stored_header.path)
        content = matrix.read_bytes() if is_file(matrix) and matrix.stat().st_size <= _LARGEST_MATRIX else b""
        holders["mat"] = FileHolder(fileobj=io.BytesIO(content))
    image: nib.spatialimages.SpatialImage = kind.from_file_map(holders)
    return image


def _checked_shape(header: Any, path: Path) -> tuple[int, ...]:
    """Return the shape, with trailing sizes of 0, which some programs leave for unused axes, set to 1."""
    count = int(header["dim"][0])
    if not 1 <= count < len(header["dim"]):
        raise unreadable(path, f"its dim[0], the number of dimensions, is {count}")
    sizes = header["dim"][1 : count + 1]
    unused = np.flatnonzero(sizes == 0)
    sizes[unused[unused >= _SPATIAL_AXES]] = 1
    shape = tuple(map(int, sizes))
    check_shape(shape, path)
    return shape


def _start(header: Any, path: Path, kind: Any) -> int:
    """Return the offset of the voxels in bytes."""
    least = len(header.binaryblock) + 4 if kind in (nib.Nifti1Image, nib.Nifti2Image) else 0
    start = float(header["vox_offset"])
    if not np.isfinite(start) or start < least:
        raise unreadable(path, f"its vox_offset is {start:g}, where no voxels can begin")
    return int(start)


def _check_place(header: Any, path: Path) -> None:
    """Refuse a NIfTI header that does not say how large voxels are, or gives them an impossible place."""
    for name in ("qform_code", "sform_code"):
        if not 0 <= header[name] <= _LARGEST_CODE:  # nibabel takes them for 0
            raise unreadable(path, f"its {name} is {int(header[name])}, which NIfTI does not know")
    if header["sform_code"] > 0:
        rows = np.array([header[f"srow_{axis}"] for axis in "xyz"], np.float64)
        if not np.isfinite(rows).all() or abs(np.linalg.det(rows[:, :3])) == 0:
            raise unreadable(path, "its srow_x, srow_y and srow_z do not span space")
        return
    _check_spacing(header, path)
    if header["qform_code"] > 0:
        values = np.array([header[f"quatern_{each}"] for each in "bcd"], np.float64)
        if not np.isfinite(values).all() or (values**2).sum() > 1 + _QUATERNION_TOLERANCE:
            raise unreadable(path, "its quatern_b, quatern_c and quatern_d are no part of a unit quaternion")
        if not np.isfinite([header[f"qoffset_{axis}"] for axis in "xyz"]).all():
            raise unreadable(path, "its qoffset_x, qoffset_y and qoffset_z are not finite")


def _check_spacing(header: Any, path: Path) -> None:
    spacing = np.abs(np.array(header["pixdim"][1:4], np.float64))
    if not np.isfinite(spacing).all() or not spacing.all():  # nibabel takes zeros for 1
        raise unreadable(path, "its header gives its voxels no size: its pixdim is 0 or not finite")


def _matrix_file(path: Path | str) -> Path:
    """Return the file beside an Analyze file that tells where its axes run."""
    return Path(str(path).removesuffix(".gz")).with_suffix(".mat")


def _orientation_notices(image: nib.spatialimages.SpatialImage, place: Path | str) -> Notices:
    text = ""
    if isinstance(image, nib.Nifti1Pair):
        if image.header["sform_code"] <= 0 and image.header["qform_code"] <= 0:
            text = "has a qform_code and a sform_code of 0; its axes are taken to run left, anterior, superior."
    elif isinstance(image, nib.Spm99AnalyzeImage) and not is_file(_matrix_file(place)):
        text = "is an Analyze file, which does not tell left from right; its columns are taken to run left."
    return (Notice(NoticeKind.ORIENTATION, str(place), text),) if text else ()


def _partner(path: Path, ending: str) -> Path:
    """Return the other file of a pair, in any case of its ending and compressed or not.

    Raises:
        UserError: it is not there.
    """
    name = path.name.lower().removesuffix(".gz")[:-4] + ending
    for each in sorted(path.parent.iterdir()):
        if each.name.lower() in (name, f"{name}.gz") and is_file(each):
            return each
    raise UserError(f"is one file of two; put the {ending} file of the same name beside it.", place=path)
