"""Files: names and endings, what stands in the way of writing one, and writing all of it or nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError

NIFTI_ENDINGS = (".nii", ".nii.gz")
"""What the name of a volume's file ends in."""


def ending(path: Path) -> str:
    """The ending of a file's name: all of a volume's, else what follows the last dot."""
    return next((each for each in NIFTI_ENDINGS if path.name.endswith(each)), path.suffix)


def stem(path: Path) -> str:
    """A file's name without its ending."""
    return path.name.removesuffix(ending(path))


def named_volumes(folder: Path, suffix: str) -> dict[str, Path]:
    """Files NAME_<suffix> of a folder that end as volumes do, by NAME in alphabetical order."""
    paths = sorted(path for each in NIFTI_ENDINGS for path in folder.glob(f"*_{suffix}{each}"))
    return {stem(path).removesuffix(f"_{suffix}"): path for path in paths}


def check_output(path: Path, *, overwrite: bool, endings: tuple[str, ...]) -> None:
    """Make sure that a file can be written there.

    Raises:
        UserError: its name, its folder or an existing file stands in the way.
    """
    if not path.name.endswith(endings):
        raise UserError(f"The output {path} must end in {' or '.join(endings)}.")
    if path.is_dir():
        raise UserError(f"The output {path} is a folder; give the path of a file.")
    if path.exists() and not overwrite:
        raise UserError(f"The output {path} exists already; add --overwrite to replace it.")
    if not path.parent.is_dir():
        raise UserError(f"The folder {path.parent} of the output does not exist; make it first.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"The folder {path.parent} cannot be written to; choose another.")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its ending, renamed to it on success and removed on failure."""
    handle, name = tempfile.mkstemp(prefix=f".{stem(path)}-", suffix=ending(path), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
