"""Files: names and endings, checks before writing, and writing all of a file or nothing."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import UserError
from ..interface.notices import Notice, NoticeKind, warn

NIFTI_ENDINGS = (".nii.gz", ".nii")
ITK_ENDINGS = (".nrrd", ".mha")
MGH_ENDINGS = (".mgz",)
_ANNEX = ("annex", "objects")
_LONGEST_STEM = 200  # bytes of a temporary name, whose end may take more than that of the name that it stands for
VOLUME_ENDINGS = (*NIFTI_ENDINGS, *ITK_ENDINGS, *MGH_ENDINGS)
"""Endings of the names of volumes, the commonest first."""


def ending(path: Path) -> str:
    """Return the ending of a file's name: all of a volume's, else the part after the last dot."""
    return next((each for each in VOLUME_ENDINGS if path.name.endswith(each)), path.suffix)


def stem(path: Path) -> str:
    """Return a file's name without its ending."""
    return path.name.removesuffix(ending(path))


def named_volumes(folder: Path, suffix: str) -> dict[str, Path]:
    """Return the volumes NAME_<suffix> of a folder, by NAME in alphabetical order.

    Where a name is there with several endings, the commonest stands for it, with a `ScanWarning`.
    """
    found: dict[str, Path] = {}
    for each in reversed(VOLUME_ENDINGS):
        for path in sorted(folder.glob(f"*_{suffix}{each}")):
            name = stem(path).removesuffix(f"_{suffix}")
            if name in found:
                text = f"is left out, because {path.name} lies beside it."
                warn([Notice(NoticeKind.FILE_NAME, str(found[name]), text)])
            found[name] = path
    return dict(sorted(found.items()))


def is_file(path: Path) -> bool:
    """Tell whether there is such a file.

    Raises:
        UserError: its folder cannot be entered, so that nobody knows, or it has no name that a disk takes.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise _unseen(path, error) from error


def is_folder(path: Path) -> bool:
    """Tell whether there is such a folder.

    Raises:
        UserError: the folder around it cannot be entered, so that nobody knows, or it has no name that a disk takes.
    """
    try:
        return path.is_dir()
    except OSError as error:
        raise _unseen(path, error) from error


def _unseen(path: Path, error: OSError) -> UserError:
    if isinstance(error, PermissionError):
        return UserError(f"The folder {path.parent} cannot be entered; ask for its permissions.")
    return UserError(f"cannot be looked at ({error.strerror}); give another path.", place=path)


def check_folder(folder: Path, *, wanted: str) -> None:
    """Make sure that there is such a folder and that it tells what it holds.

    Args:
        folder: to look into.
        wanted: what it should hold, for the message.

    Raises:
        UserError: it is none, or cannot be entered.
    """
    try:
        os.scandir(folder).close()
    except PermissionError as error:
        raise UserError(f"The folder {folder} cannot be entered; ask for its permissions.") from error
    except FileNotFoundError as error:
        raise UserError(f"{folder} does not exist; give a folder with {wanted}.") from error
    except OSError as error:
        raise UserError(f"{folder} is no folder; give one with {wanted}.") from error


def check_output(path: Path, *, overwrite: bool, endings: tuple[str, ...]) -> None:
    """Make sure that a file can be written there.

    Raises:
        UserError: its name, its folder or an existing file stands in the way.
    """
    if not path.name.endswith(endings):
        raise UserError(f"The output {path} must end in {' or '.join(endings)}.")
    folder = real_path(path).parent
    try:
        is_folder, exists = path.is_dir(), path.exists() or is_annexed(path)
    except PermissionError as error:
        raise UserError(f"The folder {folder} cannot be entered; choose another.") from error
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror}); choose another name.", place=path) from error
    if is_folder:
        raise UserError(f"The output {path} is a folder; give the path of a file.")
    if exists and not overwrite:
        raise UserError(f"The output {path} exists already; add --overwrite to replace it.")
    folder = _destination(path).parent
    if not folder.is_dir():
        raise UserError(f"The folder {folder} of the output does not exist; make it first.")
    try:
        with tempfile.TemporaryFile(dir=folder):  # a read-only disk or a full quota lets nobody know but by trying
            pass
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be written to ({error.strerror}); choose another.") from error


def unused(path: Path) -> Path:
    """Return a path, or the first of NAME-2, NAME-3, ... with its ending that does not exist."""
    names = (f"{stem(path)}-{number}{ending(path)}" for number in itertools.count(2))
    paths = itertools.chain([path], (path.with_name(name) for name in names))
    return next(each for each in paths if not each.exists())


def real_path(path: Path) -> Path:
    """Return the file that a path leads to by symbolic links, as far as they lead: some go round in circles."""
    return Path(os.path.realpath(path))


def is_annexed(path: Path) -> bool:
    """Tell whether a path is a link to the store of git-annex, whose files bear the names of their content."""
    return path.is_symlink() and set(_ANNEX) <= set(real_path(path).parts)


def _destination(path: Path) -> Path:
    """Return the file to write: what a link leads to, but the link itself in place of a file that others may share."""
    return path if is_annexed(path) else real_path(path)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its ending; rename it on success and remove it on failure."""
    destination = _destination(path)
    short = os.fsencode(stem(path))[:_LONGEST_STEM].decode(errors="ignore")
    handle, name = tempfile.mkstemp(prefix=f".{short}-", suffix=ending(path), dir=destination.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        with contextlib.suppress(OSError):  # file systems of networks and USB drives have no modes
            temporary.chmod(0o666 & ~mask)
        temporary.replace(destination)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name first; names that are no text become escapes."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file under a temporary name first; the heading is the first row."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
