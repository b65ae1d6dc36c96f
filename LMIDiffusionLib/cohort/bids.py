"""BIDS data sets: their scans, and the files that describe derivatives (bids-specification.readthedocs.io)."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import UserError
from ..images.files import NIFTI_ENDINGS, real_path, stem
from .scans import FAILURES, FIGURES, LOGS, PAGE, VOLUMES, Scan

DESCRIPTION = "dataset_description.json"
SUFFIXES = ("PDw", "T2w", "FLAIR")
"""Contrasts that are translated by default."""

_VERSION = "1.10.0"
_PIPELINE = "LMIDiffusion"
_RAW = "raw"  # name of the source data set in the links of sidecars
# The entities that stand before the acquisition in a name of the folder `anat`.
_BEFORE_ACQUISITION = ("sub", "ses")
_MAGNITUDES = (None, "mag")
_README = f"""# {_PIPELINE}

Volumes of the contrast that their suffix names (`desc-translated`), translated from other contrasts of the same head by
{_PIPELINE} {__version__}, and label maps of them (`desc-kmeans_dseg`). They lie on the grid of their source. The
contrast of the source stands in the entity `acq`; all else is in the JSON file beside each volume.

These volumes have been computed, not measured. They are for research, not for diagnosis or treatment.

`{PAGE}` shows every scan; `{VOLUMES}` has the volumes of all labels; `{FAILURES}`, if there is one, names those
that could not be translated.
"""


@dataclass(frozen=True)
class Choice:
    """Part of a BIDS data set; None for all of it.

    Attributes:
        participants: labels, with or without `sub-`.
        sessions: labels, with or without `ses-`.
        suffixes: contrasts at the end of file names.
    """

    participants: tuple[str, ...] | None = None
    sessions: tuple[str, ...] | None = None
    suffixes: tuple[str, ...] | None = None


def is_data_set(folder: Path) -> bool:
    """Tell whether a folder is a BIDS data set."""
    return (folder / DESCRIPTION).is_file()


def find_bids_scans(root: Path, choice: Choice, *, target: str = "") -> list[Scan]:
    """Find all anatomical scans with the chosen suffixes; those of other participants and sessions are not chosen.

    Args:
        root: folder of the data set.
        choice: of participants, sessions and suffixes.
        target: modality that is made, which messages do not suggest.

    Raises:
        UserError: there is no such scan, or none of a chosen participant or session.
    """
    suffixes = choice.suffixes or SUFFIXES
    paths = [path for folder in ("sub-*/anat", "sub-*/ses-*/anat") for path in root.glob(f"{folder}/sub-*")]
    ignored = _ignored(root)
    names = [
        (path, _Name.from_path(path))
        for path in sorted(paths)
        if path.name.endswith(NIFTI_ENDINGS) and not ignored(path.relative_to(root).as_posix())
    ]
    found = [(path, name) for path, name in names if name.suffix in suffixes and name.get("part") in _MAGNITUDES]
    for suffix in choice.suffixes or ():
        if suffix not in {name.suffix for _, name in found}:
            known = ", ".join(sorted({name.suffix for _, name in names} - {"", target})) or "none"
            raise UserError(f"There is no scan with the suffix {suffix} to translate; there are those of {known}.")
    participants = _labels(choice.participants, "sub", [name for _, name in found])
    sessions = _labels(choice.sessions, "ses", [name for _, name in found])
    scans = [
        _scan(root, path, name, name.get("sub") in participants and name.get("ses") in sessions) for path, name in found
    ]
    if not any(scan.is_chosen for scan in scans):
        raise UserError(f"{root} has no scan with the suffix {' or '.join(suffixes)} to translate; choose another.")
    return scans


def _ignored(root: Path) -> Callable[[str], bool]:
    """Recognize paths below a data set that its file .bidsignore names by patterns."""
    try:
        lines = (root / ".bidsignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return lambda path: False
    patterns = [line.strip().strip("/") for line in lines if line.strip() and not line.startswith("#")]

    def is_ignored(path: str) -> bool:
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return any(
            fnmatch.fnmatchcase(each if "/" in pattern else each.rpartition("/")[2], pattern)
            for pattern in patterns
            for each in above
        )

    return is_ignored


def _labels(chosen: tuple[str, ...] | None, entity: str, names: list[_Name]) -> set[str | None]:
    """Return the chosen labels of an entity.

    Raises:
        UserError: no scan has one of the labels.
    """
    there = {name.get(entity) for name in names}
    if chosen is None:
        return there
    labels = [each.removeprefix(f"{entity}-") for each in chosen]
    for label in labels:
        if label not in there:
            known = ", ".join(sorted(each for each in there if each)) or "none"
            raise UserError(f"There is no scan of {entity}-{label} to translate; there are those of {known}.")
    return {*labels}


def _scan(root: Path, path: Path, name: _Name, is_chosen: bool) -> Scan:
    place = path.relative_to(root)
    result = (place.parent / name.with_contrast()).as_posix()
    return Scan(place.as_posix(), path, None, result, (f"bids:{_RAW}:{place.as_posix()}",), is_chosen)


@dataclass(frozen=True)
class _Name:
    """A file name: entities as key-label pairs, and a suffix."""

    entities: tuple[tuple[str, str], ...]
    suffix: str

    @classmethod
    def from_path(cls, path: Path) -> _Name:
        *pairs, suffix = stem(path).split("_")
        return cls(tuple((key, label) for key, _, label in (pair.partition("-") for pair in pairs)), suffix)

    def get(self, entity: str) -> str | None:
        return dict(self.entities).get(entity)

    def with_contrast(self) -> str:
        """Return the entities with the suffix as part of the acquisition, so that two contrasts give two results."""
        description = self.get("desc") or ""  # the results have one of their own
        label = (self.get("acq") or "") + self.suffix + description[:1].upper() + description[1:]
        before = [pair for pair in self.entities if pair[0] in _BEFORE_ACQUISITION]
        after = [pair for pair in self.entities if pair[0] not in (*_BEFORE_ACQUISITION, "acq", "desc")]
        acquisition = ("acq", label)
        return "_".join("-".join(pair) for pair in (*before, acquisition, *after))


DERIVATIVES_TEXTS = {DESCRIPTION: _PIPELINE, "README.md": f"# {_PIPELINE}", ".bidsignore": f"{PAGE}\n{FAILURES}"}
"""Texts by which the files of `derivatives_files` are recognized."""


def check_derivatives(output: Path) -> None:
    """Check that a folder holds no other data set.

    Raises:
        UserError: it holds one.
    """
    if (output / DESCRIPTION).exists() and not is_derivatives(output):
        raise UserError(f"{output} holds another data set; choose a new folder.")


def is_derivatives(output: Path) -> bool:
    """True for a data set that a cohort has written."""
    try:
        found = json.loads((output / DESCRIPTION).read_text(encoding="utf-8"))
        return _PIPELINE in [each["Name"] for each in found["GeneratedBy"]]
    except (OSError, ValueError, LookupError, TypeError):
        return False


def derivatives_files(source: Path) -> dict[str, str]:
    """Return name and content of the files that make a folder a BIDS derivative of a data set."""
    link = real_path(source).as_uri()
    description: dict[str, Any] = {
        "Name": f"{_PIPELINE}: volumes translated to another contrast",
        "BIDSVersion": _VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": _PIPELINE, "Version": __version__, "Description": "Zero-shot contrast translation"}],
        "SourceDatasets": [{"URL": link}],
        "DatasetLinks": {_RAW: link},
    }
    ignored = (PAGE, FAILURES, VOLUMES, FIGURES, LOGS)
    return {
        DESCRIPTION: json.dumps(description, indent=2) + "\n",
        "README.md": _README,
        ".bidsignore": "\n".join(ignored) + "\n",
    }
