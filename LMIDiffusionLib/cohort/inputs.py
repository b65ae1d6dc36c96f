"""The scans of a cohort: below a folder, that a pattern fits, of a list, or of a BIDS data set."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..images.files import VOLUME_ENDINGS, stem
from ..runs.file_lists import read_file_list
from .bids import Choice, find_bids_scans, is_data_set
from .scans import Scan


@dataclass(frozen=True)
class Cohort:
    """The scans of an input.

    Attributes:
        root: folder that their names start from.
        is_bids: whether it is a BIDS data set.
        scans: all that were found, those that are not chosen too.
        problems: a name and a reason for everything else that was asked for.
    """

    root: Path
    is_bids: bool
    scans: list[Scan]
    problems: list[tuple[str, str]]


def find_cohort(source: str, output: Path, choice: Choice = Choice()) -> Cohort:
    """Find the scans of a folder, a pattern such as `scans/*/T2w.nii.gz`, a CSV file, or a BIDS data set.

    Args:
        source: one of these.
        output: a folder that is passed over, if it lies in the input.
        choice: of a BIDS data set.

    Raises:
        UserError: there is no scan, or the choice cannot be made.
    """
    path = Path(source)
    if is_data_set(path):
        return _distinct(Cohort(path, True, find_bids_scans(path, choice), []))
    if choice != Choice():
        raise UserError(
            f"{source} is no BIDS data set, of which participants, sessions and suffixes can be chosen;"
            " give the folder with its dataset_description.json."
        )
    if path.is_dir():
        cohort = _of_files(path, _volumes_below(path, output))
    elif path.is_file() and not path.name.endswith(VOLUME_ENDINGS):
        cohort = _of_list(path)
    else:
        cohort = _of_files(_fixed_folder(path), _matches(source, output))
    if not cohort.scans:
        raise UserError(f"No scan was found in {source}; give a folder with files {', '.join(VOLUME_ENDINGS)}.")
    return _distinct(cohort)


def _of_files(root: Path, files: Iterable[Path]) -> Cohort:
    return Cohort(root, False, [_scan(root, path, None) for path in sorted(files)], [])


def _scan(root: Path, source: Path, mask: Path | None) -> Scan:
    name = _below(root, source)
    sources = tuple(_below(root, path) for path in (source, mask) if path is not None)
    return Scan(name, source, mask, (Path(name).parent / _result_name(source)).as_posix(), sources)


def _result_name(source: Path) -> str:
    """The name of a scan's results: a folder's may have dots that begin no ending."""
    return source.name if source.is_dir() else stem(source)


def _below(root: Path, path: Path) -> str:
    """A path as seen from the root; one that does not lie below it, such as a mask, may lead out of it."""
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # another drive of Windows
        return path.as_posix()


def _volumes_below(folder: Path, output: Path) -> Iterator[Path]:
    """Volumes in a folder and those in it, but for what is hidden or a result."""
    for place, folders, files in os.walk(folder, followlinks=True):
        kept = [name for name in folders if not name.startswith(".") and not _is_same(Path(place, name), output)]
        folders[:] = kept
        for name in files:
            if name.endswith(VOLUME_ENDINGS) and not name.startswith("."):
                yield Path(place, name)


def _matches(pattern: str, output: Path) -> list[Path]:
    """Volumes that a pattern fits, or, if there are none, folders, which may hold DICOM files."""
    paths = [Path(name) for name in glob.iglob(pattern, recursive=True)]
    paths = [path for path in paths if output.resolve() not in (path.resolve(), *path.resolve().parents)]
    files = [path for path in paths if path.is_file() and path.name.endswith(VOLUME_ENDINGS)]
    return files or [path for path in paths if path.is_dir()]


def _fixed_folder(pattern: Path) -> Path:
    """The part of a pattern before what is left open."""
    parts = pattern.parts[:-1]
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:fixed])


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()


def _of_list(path: Path) -> Cohort:
    """Rows source[,mask]; names start from the list's folder, or from where all of its scans lie."""
    listed = read_file_list(path, required=("source",), optional=("mask",))
    sources = [Path(os.path.abspath(row.paths["source"])) for row in listed.rows]
    root = Path(os.path.abspath(path.parent))
    if not all(root in source.parents for source in sources):
        root = _common_folder(sources)
    scans = [_scan(root, source, row.paths.get("mask")) for source, row in zip(sources, listed.rows, strict=True)]
    problems = [(path.name, problem.removeprefix(f"{path.name}, ")) for problem in listed.problems]
    return Cohort(root, False, scans, problems)


def _common_folder(paths: list[Path]) -> Path:
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError as error:
        raise UserError("The list names scans on several drives; make a list for each.") from error


def _distinct(cohort: Cohort) -> Cohort:
    """The cohort without scans whose results would lie over those of another."""
    first: dict[str, Scan] = {}
    problems = []
    for scan in cohort.scans:
        other = first.setdefault(scan.stem, scan)
        if other is not scan:
            problems.append((scan.name, f"Its results would lie over those of {other.name}; rename one of them."))
    return Cohort(cohort.root, cohort.is_bids, [*first.values()], [*cohort.problems, *problems])
