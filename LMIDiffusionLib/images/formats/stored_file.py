"""The bytes of a regular file, unpacked from gzip no further than is asked for."""

from __future__ import annotations

import itertools
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from ...errors import UserError
from .stored_image import SLACK, damaged

HEADER = 2**20
"""Bytes at the start of a file that its header has to fit in."""

_GZIP = b"\x1f\x8b"
_MOST_MEMBERS = 100_000
_AT_ONCE = 2**18
_MOST_GROWTH = 1100  # gzip's is 1032
_READ_ERRORS = (EOFError, zlib.error)


class StoredFile:
    """A file that is read once, from its start, no further than needed.

    Attributes:
        path: the file.
        head: the first bytes of its unpacked content, at most `HEADER` of them.
        size: bytes on the disk.
    """

    def __init__(self, path: Path, *, packings: int = 2) -> None:
        """Open a file that gzip may have packed as a whole, so many times at most.

        Raises:
            UserError: it is missing, no regular file, or damaged, or may not be read.
        """
        self.path = path
        self.size = _size_of(path)
        self._is_packed = False
        self._data = bytearray()
        self._chunks = self._unpacked(packings)
        self._fill(HEADER)
        self.head = bytes(self._data[:HEADER])

    def read(self, size: int) -> memoryview:
        """Return the first `size` bytes, and up to `SLACK` + 1 more; fewer if the file is shorter.

        Raises:
            UserError: so small a file cannot hold as much, or it is damaged.
        """
        if size > self.size * (_MOST_GROWTH if self._is_packed else 1):
            raise damaged(self.path, "it has fewer voxels than its header says")
        return self.read_up_to(size + SLACK + 1)

    def read_up_to(self, limit: int) -> memoryview:
        """Return the first `limit` bytes, or fewer if the file is shorter.

        Raises:
            UserError: the file is damaged.
        """
        self._fill(limit)
        return memoryview(self._data)[:limit]

    def _fill(self, size: int) -> None:
        try:
            while len(self._data) < size:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return
                self._data += chunk
        except _READ_ERRORS as error:
            raise damaged(self.path, error) from error
        except (OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or "it is larger than the memory"
            text = f"cannot be read ({reason}); check its permissions and the disk."
            raise UserError(text, place=self.path) from error

    def _unpacked(self, packings: int) -> Iterator[bytes]:
        chunks = _chunks_of(self.path)
        for _ in range(packings):
            start = b""
            while len(start) < len(_GZIP) and (chunk := next(chunks, b"")):
                start += chunk
            chunks = itertools.chain([start], chunks)
            if not start.startswith(_GZIP):
                break
            self._is_packed = True
            chunks = _unpacked(chunks)
        yield from chunks


def _size_of(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        reason = "it is a broken link" if path.is_symlink() else error.strerror
        raise UserError(f"cannot be read ({reason}); fetch or copy it first.", place=path) from error
    if not stat.S_ISREG(status.st_mode):
        raise UserError("is no regular file; give the path of a scan.", place=path)
    return status.st_size


def _chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_AT_ONCE):
            yield chunk


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack all members of a gzip file and check their checksums; ignore anything after the last one.

    Raises:
        EOFError, zlib.error: the packed data are damaged.
    """
    rest = b""
    for _ in range(_MOST_MEMBERS):
        while len(rest) < len(_GZIP) and (chunk := next(chunks, b"")):
            rest += chunk
        if not rest.startswith(_GZIP):
            return
        engine = zlib.decompressobj(wbits=31)
        while not engine.eof:
            rest = rest or next(chunks, b"")
            found = engine.decompress(rest, _AT_ONCE)
            if not (rest or found or engine.eof):
                raise EOFError("the compressed data end too early")
            rest = engine.unused_data if engine.eof else engine.unconsumed_tail
            if found:
                yield found
    raise EOFError("it consists of too many parts")
