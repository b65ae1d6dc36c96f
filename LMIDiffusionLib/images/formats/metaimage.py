"""MetaImage: a text header, then voxels in the same file or one beside it (itk.org/Wiki/MetaIO)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry import MILLIMETERS, are_orthonormal, in_millimeters
from .stored_file import StoredFile
from .stored_image import StoredImage, array_from, check_shape, not_scalar, size_in_bytes, unreadable
from .text_header import TextHeader, data_file, decoded_voxels, integers, keep, most_bytes, open_data, raw_voxels, reals

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
_LAST, _REMARK = "ElementDataFile", "Comment"
_MATRIX = ("TransformMatrix", "Rotation", "Orientation")
_ORIGIN = ("Offset", "Position", "Origin")
_BIG_ENDIAN = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_metaimage(stored: StoredFile) -> StoredImage:
    """Read a MetaImage file, whose voxels may lie beside it.

    Raises:
        UserError: it is damaged, truncated, without the file of its voxels, not scalar, or does not say where they lie.
    """
    header = _parse(stored)
    shape = integers(header.required("DimSize"), "DimSize", header.path)
    if header.required("NDims") != str(len(shape)):
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


def _parse(stored: StoredFile) -> TextHeader:
    fields: dict[str, str] = {}
    start = 0
    while _LAST not in fields:
        end = stored.head.find(b"\n", start)
        line = stored.head[start : end if end >= 0 else None].decode("latin-1")
        name, separator, value = line.partition("=")
        if not separator and line.strip():
            raise unreadable(stored.path, f"its header has a line without '=': {line.strip()[:40]!r}")
        if name.strip() != _REMARK:
            keep(fields, name.strip(), value.strip(), stored.path)
        start = end + 1
        if end < 0:
            break
    header = TextHeader(stored.path, fields, start)
    for name in (_LAST, "ElementType"):
        header.required(name)
    return header


def _affine(header: TextHeader, shape: tuple[int, ...]) -> NDArray[np.float64]:
    path, count = header.path, len(shape)
    name, text = header.named(*_MATRIX)
    # A direction a row; those of space come first.
    directions = reals(text, name, path, count=count**2).reshape(count, count).T[:3, :3]
    if not are_orthonormal(directions):
        raise unreadable(path, f"its {name} has no unit vectors at right angles")
    name, text = header.named("ElementSpacing", "ElementSize")
    spacing = reals(text, name, path, count=count)[:3]
    if spacing.min() <= 0:
        raise unreadable(path, f"its {name} is not above 0")
    name, text = header.named(*_ORIGIN)
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = reals(text, name, path, count=count)[:3]
    unit = header.fields.get("DistanceUnits", "").lower()
    if unit not in MILLIMETERS:
        raise unreadable(path, f"its DistanceUnits {unit[:20]!r} is no length that is known here")
    return in_millimeters(_LPS @ affine, shape, MILLIMETERS[unit])


def _voxels(header: TextHeader, stored: StoredFile, shape: tuple[int, ...]) -> NDArray[np.number]:
    path = header.path
    kind = header.fields["ElementType"]
    if kind not in _TYPES:
        raise unreadable(path, f"its ElementType {kind[:30]!r} is not known here")
    dtype = np.dtype(_TYPES[kind]).newbyteorder(">" if _is_true(header, *_BIG_ENDIAN) else "<")
    size = size_in_bytes(shape, dtype)
    is_packed = _is_true(header, "CompressedData")
    is_text = "BinaryData" in header.fields and not _is_true(header, "BinaryData")
    encoding = "text" if is_text else "zlib" if is_packed else "raw"
    start, skipped = header.end, 0
    if header.fields[_LAST].upper() != "LOCAL":
        stored, start = open_data(data_file(path, header.fields[_LAST], _LAST), path), 0
        skipped = header.skip("HeaderSize", least=-1 if encoding == "raw" else 0)
    if encoding == "raw":
        return array_from(raw_voxels(stored, start, size, skipped=skipped), dtype, shape, path)
    start += skipped
    data = stored.read_up_to(start + most_bytes(size, encoding))[start:]
    return array_from(decoded_voxels(data, size, encoding, dtype, path), dtype, shape, path)


def _is_true(header: TextHeader, *names: str) -> bool:
    """True for a field with the value True, under any of its names."""
    return any(header.fields.get(name, "").lower() in ("true", "1") for name in names)


def _scaled(header: TextHeader, stored: NDArray[np.number]) -> NDArray[np.number]:
    """Scale voxels as the header says."""
    names = ("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset")
    slope, intercept = (
        float(reals(header.fields.get(name, default), name, header.path, count=1)[0])
        for name, default in zip(names, ("1", "0"), strict=True)
    )
    return stored if (slope, intercept) in ((1.0, 0.0), (0.0, 0.0)) else stored * slope + intercept
