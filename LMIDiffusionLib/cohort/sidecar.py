"""JSON files beside the results of a scan, which say how they were made and whether they are complete."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .. import __version__
from ..interface.events import ClassVolume
from .scans import Outputs, Scan

_LIBRARY = "LMIDiffusion"


@dataclass(frozen=True)
class ScanSummary:
    """Summary of a translated scan.

    Attributes:
        volumes: of the classes or tissues.
        notices: a sentence each.
    """

    volumes: tuple[ClassVolume, ...]
    notices: tuple[str, ...]


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
        _LIBRARY: {"Version": __version__, **record, "Notices": [*summary.notices]},
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


def state(outputs: Outputs, record: dict[str, Any]) -> State:
    """Return the state of a scan's results, which should have been made with the settings of this record."""
    if not outputs.sidecar.exists():
        return State.MISSING
    try:
        found = json.loads(outputs.sidecar.read_text(encoding="utf-8"))
        is_same = found["Sources"] == [*outputs.scan.sources]
        is_same &= all(found[_LIBRARY][key] == record[key] for key in ("CheckpointSHA256", "Options"))
        is_same &= "Notices" in found[_LIBRARY]  # which results of 0.1.0 lack
    except (ValueError, LookupError, TypeError):
        return State.OTHER
    if not is_same:
        return State.OTHER
    return State.DONE if outputs.are_complete() else State.MISSING


def read_summary(outputs: Outputs) -> ScanSummary:
    """Read the summary of a translated scan from its JSON files."""
    translated, segmented = (
        json.loads(path.read_text(encoding="utf-8"))[_LIBRARY]
        for path in (outputs.sidecar, outputs.segmentation_sidecar)
    )
    volumes = [ClassVolume(each["Label"], each["Name"], each["Milliliters"]) for each in segmented["Volumes"]]
    return ScanSummary(tuple(volumes), tuple(translated["Notices"]))
