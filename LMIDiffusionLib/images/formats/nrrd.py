"""NRRD: a text header, then voxels in the same file or one beside it (teem.sourceforge.net/nrrd/format.html)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...interface.notices import Notice, NoticeKind, Notices
from ..geometry import MILLIMETERS, in_millimeters
from .stored_file import StoredFile
from .stored_image import StoredImage, array_from, check_shape, damaged, not_scalar, size_in_bytes, unreadable
from .text_header import TextHeader, data_file, decoded_voxels, integers, keep, most_bytes, open_data, raw_voxels, reals

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_DTYPES = {name: code for code, names in _TYPES.items() for name in names}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_ENCODINGS |= {"txt": "text", "text": "text", "ascii": "text"}
# Signs that turn a space's axes into right, anterior, superior.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_ASSUMED = "left-posterior-superior"
_SCALAR_KINDS = ("???", "none", "domain", "space", "time", "scalar", "stub")
_VECTOR = re.compile(r"\(([^()]*)\)|none")
_END = re.compile(rb"\r?\n\r?\n")
_ALIASES = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}


def read_nrrd(stored: StoredFile) -> StoredImage:
    """Read a NRRD file, whose voxels may lie beside it.

    Raises:
        UserError: it is damaged, truncated, without the file of its voxels, not scalar, or does not say where they lie.
    """
    header = _parse(stored)
    shape = integers(header.required("sizes"), "sizes", header.path)
    if header.required("dimension").strip() != str(len(shape)):
        raise unreadable(header.path, "its dimension is not the number of its sizes")
    check_shape(shape, header.path)
    _check_kinds(header, shape)
    scalars = tuple(size for size, is_space in zip(shape, _space_axes(header, shape), strict=True) if is_space)
    shape = scalars if len(scalars) == 3 else shape
    affine, notices = _geometry(header, shape) if len(shape) == 3 else (np.eye(4), ())
    return StoredImage(_voxels(header, stored, shape), affine, None, notices)


def _parse(stored: StoredFile) -> TextHeader:
    end = _END.search(stored.head)
    text = stored.head[: end.start() if end else None].decode("latin-1")
    fields: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        name, separator, value = line.partition(": ") if ":=" not in line else ("", "", "")
        if separator and not line.startswith("#"):
            plain = name.strip().lower()
            keep(fields, _ALIASES.get(plain, plain), value.strip(), stored.path)
    is_detached = "data file" in fields
    if end is None and not is_detached:
        raise damaged(stored.path, "its header has no end")
    return TextHeader(stored.path, fields, end.end() if end else len(stored.head))


def _check_kinds(header: TextHeader, shape: tuple[int, ...]) -> None:
    kinds = header.fields.get("kinds", "").lower().split()
    for kind, size in zip(kinds, shape, strict=False):
        if size > 1 and kind not in _SCALAR_KINDS:
            raise not_scalar(header.path)
    if "none" in header.fields.get("space directions", ""):
        vectors = _VECTOR.findall(header.fields["space directions"])
        if any(size > 1 and not vector for size, vector in zip(shape, vectors, strict=False)) and len(shape) > 3:
            raise not_scalar(header.path)
    if header.required("type").lower() == "block":
        raise not_scalar(header.path)


def _space_axes(header: TextHeader, shape: tuple[int, ...]) -> list[bool]:
    """False for axes of one component, which have no direction in space."""
    found = _VECTOR.finditer(header.fields.get("space directions", ""))
    directions = [match[0] != "none" for match in found]
    return directions if len(directions) == len(shape) else [True] * len(shape)


def _geometry(header: TextHeader, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], Notices]:
    """Return the affine, and a notice where the header does not say how its axes lie."""
    path = header.path
    notices: Notices = ()
    space = header.fields.get("space", "").lower()
    if space not in _SPACES:
        text = "does not name its space; its axes are taken to run left, posterior, superior."
        notices = (Notice(NoticeKind.ORIENTATION, str(path), text),)
    signs = np.diag([*_SPACES.get(space, _SPACES[_ASSUMED]), 1.0])
    affine = np.eye(4)
    if "space directions" in header.fields:
        affine[:3, :3] = _directions(header)
        affine[:3, 3] = _vector(header.required("space origin"), "space origin", path)
    elif "spacings" in header.fields:
        spacings = reals(header.fields["spacings"], "spacings", path, count=3)
        if np.abs(spacings).min() == 0:
            raise unreadable(path, "its spacings are 0")
        affine[:3, :3] = np.diag(spacings)
    else:
        raise unreadable(path, "its header gives its voxels no size: it has no field 'space directions'")
    return in_millimeters(signs @ affine, shape, _unit(header)), notices


def _directions(header: TextHeader) -> NDArray[np.float64]:
    """Return the steps (3, 3) in space, one axis per column."""
    name = "space directions"
    vectors = [match[0] for match in _VECTOR.finditer(header.fields[name]) if match[0] != "none"]
    if len(vectors) != 3:
        raise unreadable(header.path, f"its {name} are not three vectors")
    steps = np.stack([_vector(vector, name, header.path) for vector in vectors], axis=1)
    lengths = np.linalg.norm(steps, axis=0)
    if not (np.isfinite(lengths).all() and lengths.min() > 0 and abs(np.linalg.det(steps / lengths)) > 1e-6):
        raise unreadable(header.path, f"its {name} do not span space")
    return steps


def _vector(text: str, name: str, path: Path) -> NDArray[np.float64]:
    return reals(text.strip().strip("()").replace(",", " "), name, path, count=3)


def _unit(header: TextHeader) -> float:
    """Return the millimeters per unit of the header."""
    name = "space units" if "space units" in header.fields else "units"
    units = {each.lower() for each in re.findall(r'"([^"]*)"', header.fields.get(name, ""))} - {""}
    if len(units) > 1 or not units <= MILLIMETERS.keys():
        raise unreadable(header.path, f"its {name} are {header.fields[name]}, no length that is known here")
    return MILLIMETERS[units.pop()] if units else 1.0


def _voxels(header: TextHeader, stored: StoredFile, shape: tuple[int, ...]) -> NDArray[np.number]:
    path = header.path
    code = _DTYPES.get(header.required("type").lower())
    encoding = _ENCODINGS.get(header.required("encoding").lower())
    if code is None or encoding is None:
        name = "type" if code is None else "encoding"
        raise unreadable(path, f"its {name} {header.fields[name]} is not known here")
    dtype = np.dtype(code)
    if dtype.itemsize > 1 and encoding != "text":
        endian = header.required("endian").lower()
        if endian not in ("little", "big"):
            raise unreadable(path, "its endian is neither little nor big")
        dtype = dtype.newbyteorder(">" if endian == "big" else "<")
    size = size_in_bytes(shape, dtype)
    stored, start = _voxel_file(header, stored)
    if encoding == "raw":
        skipped = header.skip("byte skip", least=-1)
        return array_from(raw_voxels(stored, start, size, skipped=skipped), dtype, shape, path)
    data = decoded_voxels(stored.read_up_to(start + most_bytes(size, encoding))[start:], size, encoding, dtype, path)
    if encoding != "text":
        data = data[header.skip("byte skip") :]
    return array_from(data, dtype, shape, path)


def _voxel_file(header: TextHeader, stored: StoredFile) -> tuple[StoredFile, int]:
    """Return the file that holds the voxels, and their offset before skipped bytes."""
    start = header.end
    if "data file" in header.fields:
        stored, start = open_data(data_file(header.path, header.fields["data file"], "data file"), header.path), 0
    for _ in range(header.skip("line skip")):
        start = stored.head.find(b"\n", start) + 1
        if start == 0:
            raise damaged(stored.path, "it has fewer lines than its line skip says")
    return stored, start
