"""Which checkpoints there are, and what they say of themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

from .Errors import TranslationError
from .Library import makeLibraryImportable

_SUFFIX = ".safetensors"
_MAXIMUM_HEADER = 10_000_000


@dataclass(frozen=True)
class CheckpointSummary:
    modality: str
    pixelSize: float
    trainingData: str
    licence: str
    knowsTissues: bool


def userCheckpointFolder() -> Path:
    return Path.home() / ".LMIDiffusion" / "Checkpoints"


def findCheckpoints() -> dict[str, Path]:
    """Bundled checkpoints and those in the user's folder, by name."""
    makeLibraryImportable()
    from LMIDiffusionLib.resources import bundled_checkpoints

    own = {path.stem: path for path in sorted(userCheckpointFolder().glob(f"*{_SUFFIX}"))}
    return {**own, **bundled_checkpoints()}


def defaultCheckpoint() -> str:
    """Name of the checkpoint that is chosen at first."""
    makeLibraryImportable()
    from LMIDiffusionLib.resources import DEFAULT_CHECKPOINT

    return DEFAULT_CHECKPOINT


def resolveCheckpoint(nameOrPath: str) -> Path:
    found = findCheckpoints()
    path = found.get(nameOrPath, Path(nameOrPath))
    if not path.is_file():
        raise TranslationError(
            _("There is no checkpoint {name}; choose one from the list or a {suffix} file.").format(
                name=nameOrPath, suffix=_SUFFIX
            )
        )
    return path


def readSummary(path: Path) -> CheckpointSummary:
    """Read a checkpoint's description from the head of its file, which needs neither PyTorch nor safetensors."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 0 < size < _MAXIMUM_HEADER:
                raise ValueError
            header = json.loads(file.read(size))
        metadata = json.loads(header["__metadata__"]["lmidiffusion"])
        return CheckpointSummary(
            modality=str(metadata["modality"]),
            pixelSize=float(metadata["pixel_size"]),
            trainingData=str(metadata["training_data"]),
            licence=str(metadata["licence"]),
            knowsTissues=metadata["tissue_centres"] is not None,
        )
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise TranslationError(
            _("{file} is no LMIDiffusion checkpoint, or damaged; copy it again or choose another.").format(
                file=path.name
            )
        ) from error
