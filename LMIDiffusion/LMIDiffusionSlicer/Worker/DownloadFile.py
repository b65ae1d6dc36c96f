"""`python DownloadFile.py ADDRESS SHA256 FILE PARTIAL`: download a file by https, which appears once it is whole.

Runs in Slicer's Python beside Slicer. Writes PARTIAL, which becomes FILE if its checksum is right, and is removed else.
Prints the percentage, then nothing, or what went wrong as its last line.
"""

import hashlib
import http.client
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

_BLOCK = 1 << 20
_SECONDS = 30.0
"""Without a byte, after which the server counts as gone."""
_MOST = 2 << 30
"""Bytes of the largest checkpoint."""


def main(address: str, checksum: str, file: Path, partial: Path) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("it was cancelled"))
    try:
        with partial.open("xb") as output:
            found = _download(address, output)
        if found != checksum.lower():
            sys.exit("the checksum is wrong: the file was damaged on its way, or is another one")
        os.replace(partial, file)
    except (OSError, ValueError, http.client.HTTPException) as error:
        isWrapped = isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError)
        sys.exit(str(error.reason if isWrapped else error))
    finally:
        partial.unlink(missing_ok=True)


def _download(address: str, output) -> str:
    """Copy the content to a file, and return its SHA-256."""
    digest = hashlib.sha256()
    with _opener().open(address, timeout=_SECONDS) as answer:
        size, done = int(answer.headers.get("Content-Length") or 0), 0
        _checkSize(size)
        while block := answer.read(_BLOCK):
            done += len(block)
            _checkSize(done)
            output.write(block)
            digest.update(block)
            if size:
                print(f"{100 * done // size} %", flush=True)
    return digest.hexdigest()


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows https alone, for the address and for those that it leads to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _OtherHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _OtherHandler(urllib.request.UnknownHandler):
    def unknown_open(self, request):
        raise urllib.error.URLError(f"its address begins with {request.type}: where https is needed")


def _checkSize(size: int) -> None:
    if size > _MOST:
        raise ValueError(f"it is larger than {_MOST >> 30} GB")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
