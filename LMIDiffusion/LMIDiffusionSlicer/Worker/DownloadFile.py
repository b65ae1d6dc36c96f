"""`python DownloadFile.py ADDRESS SHA256 FILE`: download a file, which appears once it is whole and its checksum right.

Runs in Slicer's Python beside Slicer. Prints the percentage, then nothing, or what went wrong as its last line.
"""

import hashlib
import os
import sys
import tempfile
import urllib.request
from pathlib import Path

_BLOCK = 1 << 20


def main(address: str, checksum: str, file: Path) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as output:
            found = _download(address, output)
        if found != checksum.lower():
            sys.exit("the checksum is wrong: the file was damaged on its way, or is another one")
        os.replace(name, file)
    except OSError as error:
        sys.exit(str(error))
    finally:
        Path(name).unlink(missing_ok=True)


def _download(address: str, output) -> str:
    """Copy the content to a file, and return its SHA-256."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(address) as answer:
        size, done = int(answer.headers.get("Content-Length") or 0), 0
        while block := answer.read(_BLOCK):
            output.write(block)
            digest.update(block)
            done += len(block)
            if size:
                print(f"{100 * done // size} %", flush=True)
    return digest.hexdigest()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
