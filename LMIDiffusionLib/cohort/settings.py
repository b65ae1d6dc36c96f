"""How the scans of a cohort are translated, and what the files beside the results say of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .. import __version__
from ..interface.events import ClassVolume
from ..interface.resources import DEFAULT_CHECKPOINT, checkpoint_hash
from ..translation.options import TranslationOptions
from .scans import Outputs, Scan

_OURS = "LMIDiffusion"


@dataclass(frozen=True)
class Recipe:
    """All that decides what a scan becomes.

    Attributes:
        checkpoint: name or path.
        clusters: K-Means classes of scans without a mask; None for the most that the checkpoint knows.
        find_brain: look for the brain in translations of scans without a mask, which makes tissues of the classes.
        precision: as `select_precision` takes it.
        options: of the translation.
    """

    checkpoint: str = DEFAULT_CHECKPOINT
    clusters: int | None = None
    find_brain: bool = False
    precision: str = "auto"
    options: TranslationOptions = TranslationOptions()

    def record(self) -> dict[str, Any]:
        """The recipe in plain JSON types: two with the same record make the same of a scan.

        Raises:
            UserError: there is no such checkpoint.
        """
        options = self.options
        return {
            "Checkpoint": self.checkpoint.replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors"),
            "CheckpointSHA256": checkpoint_hash(self.checkpoint),
            "Options": {
                "Sampler": options.sampler,
                "Steps": options.solver()[1],
                "Samples": options.samples,
                "Guidance": options.guidance,
                "Seed": options.seed,
                "Precision": self.precision,
                "Clusters": self.clusters,
                "FindBrain": self.find_brain,
            },
        }


@dataclass(frozen=True)
class Account:
    """What is told of a scan that is done.

    Attributes:
        volumes: of the classes or tissues.
        warnings: a sentence each.
    """

    volumes: tuple[ClassVolume, ...]
    warnings: tuple[str, ...]


def sidecar(scan: Scan, modality: str, record: dict[str, Any], account: Account) -> str:
    """What lies beside a translation, as JSON."""
    content = {
        "Description": f"{modality}-like volume, computed from another contrast; for research, not for diagnosis",
        "Sources": [*scan.sources],
        "SpatialReference": scan.sources[0],
        "SkullStripped": False,
        _OURS: {"Version": __version__, **record, "Warnings": [*account.warnings]},
    }
    return _json(content)


def segmentation_sidecar(scan: Scan, account: Account) -> str:
    """What lies beside a label map, as JSON."""
    content = {
        "Description": "Classes of intensity of the translated volume, or tissues inside a brain mask",
        "Sources": [*scan.sources],
        "SpatialReference": scan.sources[0],
        "Manual": False,
        _OURS: {"Volumes": [{"Label": v.label, "Name": v.name, "Millilitres": v.millilitres} for v in account.volumes]},
    }
    return _json(content)


def label_table(account: Account) -> str:
    """The labels of a label map as BIDS wants them: tab-separated, with a heading."""
    rows = [("index", "name"), *((str(each.label), each.name) for each in account.volumes)]
    return "".join(f"{index}\t{name}\n" for index, name in rows)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


class State(Enum):
    """What there is of a scan's results."""

    MISSING = "missing"
    DONE = "done"
    OTHER = "other"
    """Made from other files, by another checkpoint or with other options."""


def state(outputs: Outputs, record: dict[str, Any]) -> State:
    """What there is of a scan's results, where they ought to be made by the recipe of this record."""
    if not outputs.sidecar.exists():
        return State.MISSING
    try:
        found = json.loads(outputs.sidecar.read_text(encoding="utf-8"))
        is_same = found["Sources"] == [*outputs.scan.sources]
        is_same &= all(found[_OURS][key] == record[key] for key in ("CheckpointSHA256", "Options"))
    except (ValueError, LookupError, TypeError):
        return State.OTHER
    if not is_same:
        return State.OTHER
    return State.DONE if outputs.are_complete() else State.MISSING


def read_account(outputs: Outputs) -> Account:
    """What is told of a scan that is done."""
    translated, segmented = (
        json.loads(path.read_text(encoding="utf-8"))[_OURS] for path in (outputs.sidecar, outputs.segmentation_sidecar)
    )
    volumes = [ClassVolume(each["Label"], each["Name"], each["Millilitres"]) for each in segmented["Volumes"]]
    return Account(tuple(volumes), tuple(translated["Warnings"]))
