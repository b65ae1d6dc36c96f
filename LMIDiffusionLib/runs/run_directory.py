"""Directories of long runs that can be stopped and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..images.files import write_text

SETTINGS_FILE = "settings.json"


def open_work_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Make a directory for a run with these settings, or reopen the directory of the same run.

    Args:
        folder: the directory.
        settings: of the run, in plain JSON types.

    Raises:
        UserError: the folder holds other files or a run with other settings, or cannot be written to.
    """
    try:
        _open(folder, settings)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be used ({error.strerror}); choose another.") from error


def _open(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / SETTINGS_FILE
    if not path.exists():
        if folder.exists() and not _is_empty(folder):
            raise UserError(f"{folder} holds other files; choose a new folder.")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged; choose a new folder.") from error
    if found != json.loads(json.dumps(settings)):
        raise UserError(f"{folder} belongs to a run with other options; repeat those or choose a new folder.")


def _is_empty(folder: Path) -> bool:
    """Tell whether a folder holds nothing but hidden files: another process of the run may be writing its settings."""
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())


def write_json(path: Path, value: object) -> None:
    """Write a value of plain JSON types under a temporary name, then rename the file."""
    write_text(path, json.dumps(value, indent=1))
