"""Record of everything that is needed to make a checkpoint again, for its header."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..interface.resources import file_hash
from ..runs.run_directory import write_json
from .options import DataOptions, FitOptions, ModelOptions

_PACKAGES = ("torch", "numpy", "scipy", "lightning", "scikit-learn", "SimpleITK", "nibabel")
_MACHINE_OPTIONS = ("devices", "nodes", "precision", "workers")  # may change: the training goes on elsewhere
_DIGITS = 16  # of the files' hashes


def training_record(
    files: Sequence[Path], held_out: Sequence[str], *, reading: DataOptions, model: ModelOptions, fit: FitOptions
) -> dict[str, Any]:
    """Return options, seed, versions, commit, the data by name and hash, and who was held out, as plain JSON types.

    Args:
        files: all files that are read.
        held_out: names of the subjects for validation.
        reading, model, fit: options of the training.
    """
    options = {**dataclasses.asdict(reading), **dataclasses.asdict(model), **dataclasses.asdict(fit)}
    # The checkpoint tells these of itself, and a folder's place tells nothing to others.
    for told in ("name", "training_data", "license"):
        del options[told]
    options["label_maps"] = reading.label_maps is not None
    return {
        "options": options,
        "versions": {name: version(name) for name in _PACKAGES},
        "commit": _commit(),
        "files": {path.name: digest(path) for path in files},
        "held_out": [*held_out],
    }


def keep_record(path: Path, record: dict[str, Any], *, resumes: bool) -> None:
    """Write the record of a training beside its state, or compare it with the one that a resumed training began with.

    Args:
        path: file of the record; none is there where an earlier version began the training.
        record: of `training_record`.
        resumes: compare instead of writing.

    Raises:
        UserError: the training began with other options or files.
    """
    if not resumes:
        write_json(path, record)
    elif path.exists():
        before, now = json.loads(path.read_text(encoding="utf-8")), json.loads(json.dumps(record))
        names = sorted(name for name in now["options"] if before["options"].get(name) != now["options"][name])
        others = [name.replace("_", " ") for name in names if name not in _MACHINE_OPTIONS]
        others += ["files"] * (before["files"] != now["files"])
        if others:
            raise UserError(
                f"The training in {path.parent} began with other {', '.join(others)}; repeat the command that it began"
                " with, or choose another --output."
            )


def digest(path: Path) -> str:
    """Return the first digits of a file's SHA-256."""
    return file_hash(path)[:_DIGITS]


def _commit() -> str | None:
    """Return the commit of the running source; None if it is installed without its history."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
