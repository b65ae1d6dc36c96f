"""The user's last choices, kept in Slicer's settings between sessions; those of a scene go before them."""

from __future__ import annotations

import pathlib

import slicer

from ..Base.Presets import Quality, Sampler
from .ParameterNode import LMIDiffusionParameterNode

_GROUP = "LMIDiffusion"
_HINT = f"{_GROUP}/HintIsKnown"


def remember(node: LMIDiffusionParameterNode) -> None:
    """Keep the checkpoint, the device and the quality."""
    file = str(node.checkpointFile) if node.useCheckpointFile else ""
    values = {"Checkpoint": node.checkpoint, "CheckpointFile": file, "Device": node.device}
    values |= {"Quality": node.quality.name, "Sampler": node.sampler.name, "Steps": str(node.steps)}
    values["Samples"] = str(node.samples)
    for name, value in values.items():
        slicer.app.userSettings().setValue(f"{_GROUP}/{name}", value)


def recall(node: LMIDiffusionParameterNode) -> None:
    """Set what was kept; a value that this version does not know leaves the default."""
    if _value("CheckpointFile"):
        node.useCheckpointFile, node.checkpointFile = True, pathlib.Path(_value("CheckpointFile"))
    node.checkpoint = _value("Checkpoint")
    node.device = _value("Device") or node.device
    try:
        steps, samples = int(_value("Steps")), int(_value("Samples"))
        node.sampler, node.steps, node.samples = Sampler[_value("Sampler")], steps, samples
        node.quality = Quality[_value("Quality")]
    except (KeyError, ValueError):
        return


def _value(name: str) -> str:
    return str(slicer.app.userSettings().value(f"{_GROUP}/{name}", ""))


def isHintKnown() -> bool:
    return bool(slicer.app.userSettings().value(_HINT, ""))


def hintIsKnown() -> None:
    slicer.app.userSettings().setValue(_HINT, "yes")
