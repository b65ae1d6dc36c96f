"""The output folder: marked as the cohort's, and the only place that is written to; files of others are left alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import UserError
from ..images.files import ending, stem
from ..runs import claims

# Files that operating systems put into any folder.
_OF_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_TEXT_READ = 4096


def open_output(output: Path, *, is_ours: Callable[[Path], bool]) -> None:
    """Make the folder of the results and one of claims in it, or fail before minutes are spent.

    Args:
        output: the folder.
        is_ours: recognizes a folder of results by a file in it.

    Raises:
        UserError: the folder cannot be written to, or holds files of others.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not (output / claims.FOLDER).is_dir() and not is_ours(output) and _holds_files(output):
            raise UserError(f"The folder {output} holds other files; choose a new or an empty one.")
        (output / claims.FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {output} cannot be written to ({error.strerror}); choose another.") from error


def _holds_files(folder: Path) -> bool:
    return any(set(files) - _OF_SYSTEMS for _, _, files in os.walk(folder))


def begins_with(path: Path, text: str) -> bool:
    """True for a file whose first characters hold a text, by which the cohort recognizes its own."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return text in file.read(_TEXT_READ)
    except OSError:
        return False


def make_parent(path: Path, output: Path) -> None:
    """Make the folder of a file of results.

    Raises:
        UserError: a link leads it out of the output folder.
    """
    if not lies_below(path.parent, output):
        raise UserError(f"The folder {path.parent} is a link that leads out of {output}; remove the link.")
    path.parent.mkdir(parents=True, exist_ok=True)


def lies_below(folder: Path, output: Path) -> bool:
    """True for a folder in the output folder, or that folder itself, once all links are followed."""
    root = os.path.realpath(output)
    try:
        return os.path.commonpath([root, os.path.realpath(folder)]) == root
    except ValueError:  # another drive of Windows
        return False


@contextlib.contextmanager
def replaced(path: Path, token: str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to it on success and removed on failure.

    A link at `path` is replaced, and what it leads to stays as it is.

    Args:
        path: the file.
        token: of the claim under which it is written, by which the next holder finds what a killed one has left.
    """
    temporary = _temporary(path, token)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporaries(paths: tuple[Path, ...], tokens: tuple[str, ...]) -> None:
    """Remove what dead holders of a claim have left beside these files."""
    for token in filter(None, tokens):
        for path in paths:
            _temporary(path, token).unlink(missing_ok=True)


def _temporary(path: Path, token: str) -> Path:
    return path.with_name(f".{stem(path)}-{token}{ending(path)}")
