"""Values in the text headers of NRRD and MetaImage, and the file of voxels beside a header."""

from __future__ import annotations

import bz2
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .stored_file import HEADER, StoredFile
from .stored_image import SLACK, damaged, unreadable

_AT_ONCE = 2**20
_MOST_AXES = 16
_LONGEST_NAME = 255  # bytes
_LONGEST_NUMBER = 32  # characters


def integers(text: str, name: str, path: Path) -> tuple[int, ...]:
    """Parse the whole numbers of a field.

    Raises:
        UserError: it holds anything else, or very many.
    """
    words = text.split(maxsplit=_MOST_AXES)
    try:
        if len(words) <= _MOST_AXES and "_" not in text:  # which Python allows in numbers
            return tuple(int(word) for word in words)
    except ValueError:
        pass
    raise unreadable(path, f"its {name} is {_short(text)}, no list of whole numbers")


def reals(text: str, name: str, path: Path, *, count: int) -> NDArray[np.float64]:
    """Parse the finite numbers of a field.

    Raises:
        UserError: it holds anything else, or another count.
    """
    try:
        numbers = np.array([float(word) for word in text.replace("_", "?").split()[: count + 1]])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise unreadable(path, f"its {name} is {_short(text)} where {count} finite numbers are needed")
    return numbers


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def data_file(header: Path, name: str, field: str) -> Path:
    """Return the file of voxels that a header names, which has to lie in the header's own folder.

    Raises:
        UserError: the name leads elsewhere, or stands for several files.
    """
    plain = name.removeprefix("./")
    is_plain = Path(plain).name == plain and not set(plain) & set("\\\0%") and len(os.fsencode(plain)) <= _LONGEST_NAME
    if not plain or not is_plain or plain == "LIST":
        reason = f"its {field} is {_short(name)} where the name of one file in its own folder is needed"
        raise unreadable(header, reason)
    return header.with_name(plain)


def most_bytes(size: int, kind: str) -> int:
    """Return the most bytes that voxels of `size` bytes take as text or packed: packing may enlarge noise a little."""
    return size * _LONGEST_NUMBER + HEADER if kind == "text" else size + size // 8 + HEADER


def unpacked(data: memoryview, size: int, kind: str, path: Path) -> bytes:
    """Unpack `data` up to `size` bytes and a few more.

    Args:
        data: packed bytes.
        size: bytes that the header claims.
        kind: a key of `PACKINGS`.
        path: the file, for messages.

    Raises:
        UserError: the data are damaged, or end too early.
    """
    found = bytearray()
    chunks = PACKINGS[kind](data[start : start + _AT_ONCE] for start in range(0, len(data), _AT_ONCE))
    try:
        while len(found) <= size + SLACK and (chunk := next(chunks, None)) is not None:
            found += chunk
    except (zlib.error, EOFError, OSError) as error:
        raise damaged(path, error) from error
    return bytes(found)


def _inflated(chunks: Iterator[memoryview]) -> Iterator[bytes]:
    engine = zlib.decompressobj(wbits=47)  # of zlib or gzip
    for chunk in chunks:
        rest: bytes | memoryview = chunk
        while len(rest) and not engine.eof:
            yield engine.decompress(rest, _AT_ONCE)
            rest = engine.unconsumed_tail
    while not engine.eof:
        last = engine.decompress(b"", _AT_ONCE)
        if not last and not engine.eof:
            raise EOFError("the compressed data end too early")
        yield last


def _unpacked_bzip2(chunks: Iterator[memoryview]) -> Iterator[bytes]:
    engine = bz2.BZ2Decompressor()
    for chunk in chunks:
        if engine.eof:
            return
        yield engine.decompress(chunk, _AT_ONCE)
        while not engine.needs_input and not engine.eof:
            yield engine.decompress(b"", _AT_ONCE)
    if not engine.eof:
        raise EOFError("the compressed data end too early")


PACKINGS: dict[str, Callable[[Iterator[memoryview]], Iterator[bytes]]] = {
    "zlib": _inflated,
    "gzip": _inflated,
    "bzip2": _unpacked_bzip2,
}
"""Ways in which the voxels in a file may be packed."""


def voxels_in_text(data: memoryview, dtype: np.dtype[np.generic], count: int, path: Path) -> bytes:
    """Convert numbers in text to the bytes of an array.

    Raises:
        UserError: there are fewer or more of them, or other words.
    """
    words = bytes(data).split(maxsplit=count + 1)
    try:
        if len(words) != count:
            raise ValueError(f"it has {'more' if len(words) > count else 'fewer'} voxels than its header says")
        numbers = np.array(words).astype(np.float64)
        return numbers.astype(dtype).tobytes()
    except (ValueError, OverflowError) as error:
        raise damaged(path, error) from error


def open_data(path: Path, header: Path) -> StoredFile:
    """Open the file of voxels beside a header.

    Raises:
        UserError: it is missing or no regular file.
    """
    if not path.is_file():
        raise damaged(header, f"it lacks the file of its voxels, {path.name}, or that is no regular file")
    return StoredFile(path, packings=0)
