"""MetaImage: a text header, then voxels in the same file or one beside it (itk.org/Wiki/MetaIO)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..geometry import MILLIMETERS, are_orthonormal, in_millimeters
from .stored_file import HEADER, StoredFile
from .stored_image import StoredImage, array_from, check_shape, not_scalar, size_in_bytes, unreadable
from .text_header import data_file, integers, most_bytes, open_data, reals, unpacked, voxels_in_text

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LAST = "ElementDataFile"
_SCALAR = {"ObjectType": "Image", "ElementNumberOfChannels": "1"}
_MATRIX = ("TransformMatrix", "Rotation", "Orientation")
_ORIGIN = ("Offset", "Position", "Origin")
_BIG_ENDIAN = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class _Header:
    """Fields by their names.

    Attributes:
        path: the file.
        fields: their values.
        end: bytes up to the voxels, in a file that has both.
    """

    path: Path
    fields: dict[str, str]
    end: int

    def required(self, *names: str) -> tuple[str, str]:
        """Name and value of a field without which the file cannot be read, under the first of its names.

        Raises:
            UserError: it is absent.
        """
        for name in names:
            if name in self.fields:
                return name, self.fields[name]
        raise unreadable(self.path, f"its header has no field {names[0]}")

    def is_true(self, *names: str) -> bool:
        """True for a field with the value True, under any of its names."""
        return any(self.fields.get(name, "").lower() in ("true", "1") for name in names)


def read_metaimage(stored: StoredFile) -> StoredImage:
    """Read a MetaImage file, whose voxels may lie beside it.

    Raises:
        UserError: it is damaged, truncated, without the file of its voxels, not scalar, or does not say where they lie.
    """
    header = _parse(stored)
    shape = integers(header.required("DimSize")[1], "DimSize", header.path)
    if header.required("NDims")[1] != str(len(shape)):
        raise unreadable(header.path, "its NDims is not the number of sizes in DimSize")
    check_shape(shape, header.path)
    channels = header.fields.get("ElementNumberOfChannels", "1")
    if (
        header.fields.get("ObjectType", "Image") != "Image"
        or channels != "1"
        or "ARRAY" in header.fields["ElementType"]
    ):
        raise not_scalar(header.path)
    affine = _affine(header, shape) if len(shape) > 2 else np.eye(4)
    return StoredImage(_scaled(header, _voxels(header, stored, shape)), affine)


def _parse(stored: StoredFile) -> _Header:
    fields: dict[str, str] = {}
    start = 0
    while _LAST not in fields:
        end = stored.head.find(b"\n", start)
        line = stored.head[start : end if end >= 0 else None].decode("latin-1")
        name, separator, value = line.partition("=")
        if not separator and line.strip():
            raise unreadable(stored.path, f"its header has a line without '=': {line.strip()[:40]!r}")
        fields[name.strip()] = value.strip()
        start = end + 1
        if end < 0:
            break
    header = _Header(stored.path, fields, start)
    for name in (_LAST, "ElementType"):
        header.required(name)
    return header


def _affine(header: _Header, shape: tuple[int, ...]) -> NDArray[np.float64]:
    path, count = header.path, len(shape)
    name, text = header.required(*_MATRIX)
    # A direction a row; those of space come first.
    directions = reals(text, name, path, count=count**2).reshape(count, count).T[:3, :3]
    if not are_orthonormal(directions):
        raise unreadable(path, f"its {name} has no unit vectors at right angles")
    name, text = header.required("ElementSpacing", "ElementSize")
    spacing = reals(text, name, path, count=count)[:3]
    if spacing.min() <= 0:
        raise unreadable(path, f"its {name} is not above 0")
    name, text = header.required(*_ORIGIN)
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = reals(text, name, path, count=count)[:3]
    unit = header.fields.get("DistanceUnits", "").lower()
    if unit not in MILLIMETERS:
        raise unreadable(path, f"its DistanceUnits {unit[:20]!r} is no length that is known here")
    return in_millimeters(_LPS @ affine, shape, MILLIMETERS[unit])


def _voxels(header: _Header, stored: StoredFile, shape: tuple[int, ...]) -> NDArray[np.number]:
    path = header.path
    kind = header.fields["ElementType"]
    if kind not in _TYPES:
        raise unreadable(path, f"its ElementType {kind[:30]!r} is not known here")
    dtype = np.dtype(_TYPES[kind]).newbyteorder(">" if header.is_true(*_BIG_ENDIAN) else "<")
    size = size_in_bytes(shape, dtype)
    is_packed = header.is_true("CompressedData")
    is_text = "BinaryData" in header.fields and not header.is_true("BinaryData")
    stored, start = _voxel_file(header, stored)
    if not is_packed and not is_text:
        return array_from(_raw_voxels(header, stored, start, size), dtype, shape, path)
    if start < 0:
        raise unreadable(path, "its HeaderSize is below 0")
    data = stored.read_up_to(start + most_bytes(size, "text" if is_text else "zlib"))[start:]
    if is_text:
        return array_from(memoryview(voxels_in_text(data, dtype, size // dtype.itemsize, path)), dtype, shape, path)
    return array_from(memoryview(unpacked(data, size, "zlib", path)), dtype, shape, path)


def _voxel_file(header: _Header, stored: StoredFile) -> tuple[StoredFile, int]:
    """Return the file that holds the voxels, and their offset; -1 if they are its last bytes."""
    name = header.fields[_LAST]
    if name.upper() == "LOCAL":
        return stored, header.end
    (start,) = integers(header.fields.get("HeaderSize", "0"), "HeaderSize", header.path) or (0,)
    return open_data(data_file(header.path, name, _LAST), header.path), start


def _raw_voxels(header: _Header, stored: StoredFile, start: int, size: int) -> memoryview:
    """Return as many bytes as the header claims, and a few more if there are any."""
    if start == -1:
        data = stored.read_up_to(max(stored.size, size) + HEADER)
        return data[max(0, len(data) - size) :]
    if start < 0:
        raise unreadable(header.path, "its HeaderSize is below 0")
    return stored.read(start + size)[start:]


def _scaled(header: _Header, stored: NDArray[np.number]) -> NDArray[np.number]:
    """Scale voxels as the header says."""
    names = ("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset")
    slope, intercept = (
        float(reals(header.fields.get(name, default), name, header.path, count=1)[0])
        for name, default in zip(names, ("1", "0"), strict=True)
    )
    return stored if (slope, intercept) in ((1.0, 0.0), (0.0, 0.0)) else stored * slope + intercept
