"""Input of a cohort: a folder, a pattern, a list, or a BIDS data set."""

from __future__ import annotations

import dataclasses
import glob
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..images.dicom.headers import is_dicom
from ..images.files import VOLUME_ENDINGS, real_path, stem
from ..runs.file_lists import read_file_list
from .bids import Choice, find_bids_scans, is_data_set
from .left_out import reason_to_leave_out
from .scans import Scan

# Bytes; file systems allow 255, of which the ends of results and temporary names take the rest.
_LONGEST_STEM = 200
_START = 132  # bytes of a file, the last of which mark it as DICOM
_ONE_FOLDER = "translate its series by lmidiffusion translate, or put each into a folder of its own"


@dataclass(frozen=True)
class Cohort:
    """The scans of an input.

    Attributes:
        root: folder that the names of the scans start from.
        is_bids: true for a BIDS data set.
        scans: all scans that were found, chosen or not.
        problems: name and reason of each entry that cannot be used.
        left_out: name and reason of each file of a folder that is no scan to translate.
    """

    root: Path
    is_bids: bool
    scans: list[Scan]
    problems: list[tuple[str, str]]
    left_out: list[tuple[str, str]] = field(default_factory=list)


def find_cohort(source: str, output: Path, choice: Choice = Choice(), *, target: str = "") -> Cohort:
    """Find the scans of a folder, a pattern such as `scans/*/T2w.nii.gz`, a CSV file, or a BIDS data set.

    Args:
        source: folder, pattern, file or data set.
        output: folder of the results, which is skipped where it lies in the input.
        choice: part of a BIDS data set.
        target: modality that is made; scans of it and label maps are left out of a folder.

    Raises:
        UserError: there is no scan, or the choice cannot be made.
    """
    path = Path(source)
    if not path.exists() and not glob.has_magic(source):
        raise UserError(f"{source} does not exist; give a folder, a CSV file or a quoted pattern of scans.")
    if is_data_set(path):
        return _distinct(Cohort(path, True, find_bids_scans(path, choice, target=target), []))
    if choice != Choice():
        raise UserError(
            f"{source} is no BIDS data set, of which participants, sessions and suffixes can be chosen;"
            " give the folder with its dataset_description.json."
        )
    if path.is_dir():
        cohort = _of_folder(path, output, target)
    elif path.is_file():
        is_volume = path.name.endswith(VOLUME_ENDINGS)
        cohort = _of_files(path.parent, [path]) if is_volume else _of_list(path)
    else:
        cohort = _of_files(_fixed_folder(path), _matches(source, output))
    if cohort.left_out and not cohort.scans:
        raise UserError(f"{source} holds no scans but label maps and {target} scans; name them by a pattern.")
    if not cohort.scans and path.is_dir() and (series := _first_series(path)) is not None:
        pattern = "/".join([str(path).rstrip("/"), *("*" for _ in series.relative_to(path).parts)])
        advice = f"give a quoted pattern of the series' folders, e.g. '{pattern}'" if series != path else _ONE_FOLDER
        raise UserError(f"No scan was found in {source}. It holds DICOM files; {advice}.")
    if not cohort.scans:
        raise UserError(f"No scan was found in {source}; give a folder with files {', '.join(VOLUME_ENDINGS)}.")
    return _distinct(cohort)


def _first_series(folder: Path) -> Path | None:
    """Return the folder of the first DICOM file in a folder and its subfolders; None if there is none."""
    paths = (Path(place, name) for place, _, files in os.walk(folder) for name in files if name != "DICOMDIR")
    return next((path.parent for path in paths if _begins_as_dicom(path)), None)


def _begins_as_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(_START))
    except OSError:
        return False


def _of_folder(folder: Path, output: Path, target: str) -> Cohort:
    """Take the volumes of a folder, except those whose names say that they are no scans to translate."""
    files = sorted(_volumes_below(folder, output))
    reasons = {path: reason_to_leave_out(path, target) for path in files}
    cohort = _of_files(folder, (path for path, reason in reasons.items() if reason is None))
    left_out = [(_below(folder, path), reason) for path, reason in reasons.items() if reason is not None]
    return dataclasses.replace(cohort, left_out=left_out)


def _of_files(root: Path, files: Iterable[Path]) -> Cohort:
    """Name the scans of files from the root, or from their common folder if one lies elsewhere."""
    found = sorted(Path(os.path.abspath(path)) for path in files)
    root = Path(os.path.abspath(root))
    if found and not all(root in path.parents for path in found):
        root = _common_folder(found)
    return Cohort(root, False, [_scan(root, path, None) for path in found], [])


def _scan(root: Path, source: Path, mask: Path | None) -> Scan:
    name = _below(root, source)
    sources = tuple(_below(root, path) for path in (source, mask) if path is not None)
    return Scan(name, source, mask, (Path(name).parent / _result_name(source)).as_posix(), sources)


def _result_name(source: Path) -> str:
    """Return the name of a scan's results; a folder's name may have dots without an ending."""
    return source.name if source.is_dir() else stem(source)


def _below(root: Path, path: Path) -> str:
    """Return a path relative to the root; that of a mask may lead out of the root."""
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # another drive of Windows
        return path.as_posix()


def _volumes_below(folder: Path, output: Path) -> Iterator[Path]:
    """Find volumes in a folder and its subfolders, except hidden ones and results.

    Each folder is entered once, under its own name rather than that of a link that leads to it.
    """
    known = {_identity(output)} - {_identity(folder)}
    waiting = [str(folder)]
    while waiting:
        links: list[str] = []
        for place, folders, files in itertools.chain.from_iterable(map(os.walk, waiting)):
            identity = _identity(place)
            if identity in known:
                folders.clear()
                continue
            known.add(identity)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            links += [path for name in folders if os.path.islink(path := os.path.join(place, name))]
            yield from (Path(place, name) for name in files if _is_volume(name))
        waiting = links


def _is_volume(name: str) -> bool:
    return name.endswith(VOLUME_ENDINGS) and not name.startswith(".")


def _identity(folder: str | Path) -> tuple[int, int]:
    """Return device and inode of a folder, which all its names share; (-1, -1) if there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return (-1, -1)
    return (status.st_dev, status.st_ino)


def _matches(pattern: str, output: Path) -> list[Path]:
    """Find volumes that match a pattern, or else folders that match, which may hold DICOM files."""
    paths = [Path(name) for name in glob.iglob(pattern, recursive=True)]
    results = real_path(output)
    paths = [path for path in paths if results not in (real := real_path(path), *real.parents)]
    files = [path for path in paths if path.is_file() and path.name.endswith(VOLUME_ENDINGS)]
    return files or [path for path in paths if path.is_dir()]


def _fixed_folder(pattern: Path) -> Path:
    """Return the part of a pattern before its first wildcard."""
    parts = pattern.parts[:-1]
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:fixed])


def _of_list(path: Path) -> Cohort:
    """Read rows source[,mask]; names start from the list's folder, or from the common folder of its scans."""
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
    """Leave out scans whose results would overwrite those of another scan, or have names that are too long."""
    first: dict[str, Scan] = {}
    problems = []
    for scan in cohort.scans:
        if len(os.fsencode(scan.stem.rpartition("/")[2])) > _LONGEST_STEM:
            problems.append((scan.name, "Its name is too long for the names of its results; shorten it."))
            continue
        other = first.setdefault(scan.stem, scan)
        if other is not scan:
            problems.append((scan.name, f"Its results would overwrite those of {other.name}; rename one of them."))
    return dataclasses.replace(cohort, scans=[*first.values()], problems=[*cohort.problems, *problems])
