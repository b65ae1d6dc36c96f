"""Values in the text headers of NRRD and MetaImage, and the file of voxels beside a header."""

from __future__ import annotations

import bz2
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .stored_file import HEADER, StoredFile
from .stored_image import SLACK, damaged, unreadable

_AT_ONCE = 2**20
_MOST_AXES = 16
_LONGEST_NAME = 255  # bytes
_LONGEST_NUMBER = 32  # characters


@dataclass(frozen=True)
class TextHeader:
    """Header with a field on each line.

    Attributes:
        path: the file.
        fields: values by name.
        end: bytes up to the voxels, in a file that has both.
    """

    path: Path
    fields: dict[str, str]
    end: int

    def named(self, *names: str) -> tuple[str, str]:
        """Return name and value of a field without which the file cannot be read, under the first of its names.

        Raises:
            UserError: it is absent.
        """
        for name in names:
            if name in self.fields:
                return name, self.fields[name]
        raise unreadable(self.path, f"its header has no field {names[0]!r}")

    def required(self, name: str) -> str:
        """Return a field without which the file cannot be read; as `named`."""
        return self.named(name)[1]

    def skip(self, name: str, *, least: int = 0) -> int:
        """Return the number of lines or bytes before the voxels, by the name of its field; 0 without one.

        Raises:
            UserError: it is no whole number from `least` on.
        """
        (count,) = integers(self.fields.get(name, "0"), name, self.path) or (0,)
        if count < least:
            raise unreadable(self.path, f"its {name} is below 0")
        return count


def keep(fields: dict[str, str], name: str, value: str, path: Path) -> None:
    """Add a field to those of a header.

    Raises:
        UserError: it is there with another value: programs differ in which of the two they obey.
    """
    if fields.setdefault(name, value) != value:
        raise unreadable(path, f"its {name} is given twice, as {_short(fields[name])} and as {_short(value)}")


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


def raw_voxels(stored: StoredFile, start: int, size: int, *, skipped: int) -> memoryview:
    """Return as many bytes as the header claims, and a few more if there are any.

    Args:
        stored: file of the voxels.
        start: offset of its data.
        size: bytes of the voxels.
        skipped: bytes before the voxels; -1 for all but the last `size` bytes.
    """
    if skipped < 0:
        data = stored.read_up_to(max(stored.size, start + size) + HEADER)
        return data[max(0, len(data) - size) :]
    return stored.read(start + skipped + size)[start + skipped :]


def decoded_voxels(data: memoryview, size: int, encoding: str, dtype: np.dtype[np.generic], path: Path) -> memoryview:
    """Return the bytes of voxels that are written as text or packed.

    Args:
        data: at most `most_bytes(size, encoding)`.
        size: bytes that the header claims.
        encoding: "text" or a key of `PACKINGS`.
        dtype: of the voxels.
        path: the file, for messages.

    Raises:
        UserError: the data are damaged.
    """
    if encoding == "text":
        return memoryview(_voxels_in_text(data, dtype, size // dtype.itemsize, path))
    return memoryview(_unpacked(data, size, encoding, path))


def most_bytes(size: int, encoding: str) -> int:
    """Return the most bytes that voxels of `size` bytes take as text or packed: packing may enlarge noise a little."""
    return size * _LONGEST_NUMBER + HEADER if encoding == "text" else size + size // 8 + HEADER


def _unpacked(data: memoryview, size: int, kind: str, path: Path) -> bytes:
    """Unpack `data` up to `size` bytes and a few more."""
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


def _voxels_in_text(data: memoryview, dtype: np.dtype[np.generic], count: int, path: Path) -> bytes:
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
