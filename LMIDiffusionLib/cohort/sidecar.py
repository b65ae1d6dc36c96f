"""JSON files beside the results of a scan, which say how they were made and whether they are complete."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from .. import __version__
from ..interface.events import ClassVolume
from ..interface.resources import file_hash
from ..translation.options import TranslationOptions
from .scans import Outputs, Scan

_LIBRARY = "LMIDiffusion"
_FILES, _HASH, _ERROR = "SourceFiles", "SHA256", "MeanExpectedError"


@dataclass(frozen=True)
class ScanSummary:
    """Summary of a translated scan.

    Attributes:
        volumes: of the classes or tissues.
        notices: a sentence each.
        files: size, time and hash of each source, as `fingerprint` returns them.
        expected_error: of the translation, mean over the head; None unless it was asked for.
        made: checkpoint, version and quality of the translation, for people.
    """

    volumes: tuple[ClassVolume, ...]
    notices: tuple[str, ...]
    files: tuple[dict[str, Any], ...] = ()
    expected_error: float | None = None
    made: str = ""


def sidecar(scan: Scan, modality: str, record: dict[str, Any], summary: ScanSummary) -> str:
    """Return the JSON file beside a translation.

    Args:
        scan: the source.
        modality: of the translation.
        record: of the cohort's settings.
        summary: of the result.
    """
    content = {
        "Description": f"{modality}-like volume, computed from another contrast; for research, not for diagnosis",
        "Sources": [*scan.sources],
        "SpatialReference": scan.sources[0],
        "SkullStripped": False,
        _LIBRARY: {
            "Version": __version__,
            **record,
            _FILES: [*summary.files],
            "Notices": [*summary.notices],
            **({} if summary.expected_error is None else {_ERROR: summary.expected_error}),
        },
    }
    return _json(content)


def segmentation_sidecar(scan: Scan, summary: ScanSummary) -> str:
    """Return the JSON file beside a label map."""
    volumes = [{"Label": each.label, "Name": each.name, "Milliliters": each.milliliters} for each in summary.volumes]
    content = {
        "Description": "Classes of intensity of the translated volume, or tissues inside a brain mask",
        "Sources": [*scan.sources],
        "SpatialReference": scan.sources[0],
        "Manual": False,
        _LIBRARY: {"Volumes": volumes},
    }
    return _json(content)


def label_table(summary: ScanSummary) -> str:
    """Return the table of labels that BIDS asks for, tab-separated with a heading."""
    rows = [("index", "name"), *((str(each.label), each.name) for each in summary.volumes)]
    return "".join(f"{index}\t{name}\n" for index, name in rows)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


class State(Enum):
    """State of a scan's results."""

    MISSING = "missing"
    DONE = "done"
    OTHER = "other"
    """Made from other files, by another checkpoint or with other options."""


def fingerprint(path: Path) -> dict[str, Any]:
    """Return size, time of the last change and SHA-256 of a file; for a folder, of all files and without the hash.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        return _quick_fingerprint(path)
    return {**_quick_fingerprint(path), _HASH: file_hash(path)}


def _quick_fingerprint(path: Path) -> dict[str, Any]:
    files = [path] if not path.is_dir() else [each for each in path.rglob("*") if each.is_file()]
    found = [each.stat() for each in files]
    return {
        "Bytes": sum(each.st_size for each in found),
        "Modified": max((each.st_mtime_ns for each in found), default=0),
    }


def state(outputs: Outputs, record: dict[str, Any]) -> State:
    """Return the state of a scan's results, which should have been made with the settings of this record."""
    try:
        found = json.loads(outputs.sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return State.MISSING
    try:
        own = found[_LIBRARY]
        is_same = found["Sources"] == [*outputs.scan.sources]
        is_same &= all(own[key] == record[key] for key in ("CheckpointSHA256", "Options"))
        is_same &= "Notices" in own  # which results of 0.1.0 lack
    except (LookupError, TypeError):
        return State.OTHER
    if not is_same:
        return State.OTHER
    is_done = outputs.are_complete() and is_readable(outputs) and not _has_changed(outputs, own)
    return State.DONE if is_done else State.MISSING


def _has_changed(outputs: Outputs, own: dict[str, Any]) -> bool:
    """True if a source is no longer what the results were made of; older versions did not note it."""
    sources = [path for path in (outputs.scan.source, outputs.scan.mask) if path is not None]
    noted = own.get(_FILES) or []
    try:
        for path, before in zip(sources, noted, strict=False):
            now = _quick_fingerprint(path)
            if any(now[key] != before[key] for key in now) and (
                now["Bytes"] != before["Bytes"] or _HASH not in before or fingerprint(path)[_HASH] != before[_HASH]
            ):
                return True
    except (OSError, LookupError, TypeError):
        return True
    return False


def is_readable(outputs: Outputs) -> bool:
    """True if the JSON files of a translated scan hold its summary."""
    try:
        read_summary(outputs)
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return True


def read_summary(outputs: Outputs) -> ScanSummary:
    """Read the summary of a translated scan from its JSON files."""
    translated, segmented = (
        json.loads(path.read_text(encoding="utf-8"))[_LIBRARY]
        for path in (outputs.sidecar, outputs.segmentation_sidecar)
    )
    volumes = [ClassVolume(each["Label"], each["Name"], each["Milliliters"]) for each in segmented["Volumes"]]
    error = translated.get(_ERROR)
    return ScanSummary(
        tuple(volumes),
        tuple(translated["Notices"]),
        expected_error=None if error is None else float(error),
        made=_made(translated),
    )


def _made(record: dict[str, Any]) -> str:
    used = record["Options"]
    options = TranslationOptions(used["Sampler"], used["Steps"], used["Samples"])
    return f"Checkpoint {record['Checkpoint']}, {options.quality}, version {record['Version']}"
