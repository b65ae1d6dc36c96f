"""Bundled checkpoints and sample scans, and the folder of the user's own checkpoints."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..errors import UserError

_LIBRARY = Path(__file__).resolve().parents[1]
# In a wheel; in an installed Slicer extension; in a source checkout.
_CANDIDATES = (_LIBRARY / "Resources", _LIBRARY.parent / "Resources", _LIBRARY.parent / "LMIDiffusion" / "Resources")

_AT_ONCE = 2**20  # bytes

DEFAULT_CHECKPOINT = "t1w-ixi-2mm-lmi-intensity"


def resource(*parts: str) -> Path:
    """Return the path of a bundled file or folder.

    Raises:
        UserError: it is missing.
    """
    for folder in _CANDIDATES:
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    raise UserError(f"The bundled file {'/'.join(parts)} is missing; install LMIDiffusion again.")


def bundled_checkpoints() -> dict[str, Path]:
    """Return the bundled checkpoints by name."""
    files = (path for folder in _CANDIDATES for path in (folder / "Checkpoints").glob("*.safetensors"))
    return {path.stem: path for path in files}


def user_checkpoint_folder() -> Path:
    """Return the folder of the user's own checkpoints, which need not exist."""
    # Path.home() raises where a user has none, as in containers.
    return Path(os.path.expanduser("~"), ".LMIDiffusion", "Checkpoints")


def user_checkpoints() -> dict[str, Path]:
    """Return the checkpoints in the user's folder by name; none if the folder cannot be read."""
    try:
        return {path.stem: path for path in sorted(user_checkpoint_folder().glob("*.safetensors"))}
    except OSError:
        return {}


def known_checkpoints() -> dict[str, Path]:
    """Return all checkpoints that have a name; a bundled one comes before a user's of the same name."""
    return {**user_checkpoints(), **bundled_checkpoints()}


def checkpoint_path(name_or_path: str) -> Path:
    """Return the file of a checkpoint, which is given by its name in `known_checkpoints` or by its path.

    Raises:
        UserError: there is no such checkpoint.
    """
    known = known_checkpoints()
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(known)) or "none"
        raise UserError(f"There is no checkpoint {name_or_path}; give the path of one, or a known name ({names}).")
    return path


def checkpoint_hash(name_or_path: str) -> str:
    """Return the SHA-256 of a checkpoint's file.

    Raises:
        UserError: there is no such checkpoint.
    """
    return file_hash(checkpoint_path(name_or_path))


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_AT_ONCE):
            found.update(chunk)
    return found.hexdigest()
