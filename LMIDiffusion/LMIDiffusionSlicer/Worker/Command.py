"""Requests as files and arguments of the library's command."""

from __future__ import annotations

import json
from pathlib import Path

from ..Base.Checkpoints import resolveCheckpoint
from ..Base.Paths import pythonCommand
from ..Base.RunFolder import inputFile, maskFile, segmentationFile, translatedFile, uncertaintyFile
from ..Scene.Geometry import writeMask, writeVolume
from ..Scene.Request import TranslationRequest


def translateArguments(request: TranslationRequest, folder: Path) -> list[str]:
    """Return the arguments that translate a request, after writing its inputs into the folder of its results.

    :raises TranslationError: a file cannot be written, or the brain mask is none.
    """
    checkpoint = resolveCheckpoint(request.checkpoint)
    writeVolume(request.sourceVolume, inputFile(folder))
    arguments = ["translate", str(inputFile(folder)), str(translatedFile(folder)), "--events"]
    arguments += ["--segmentation", str(segmentationFile(folder)), "--checkpoint", str(checkpoint)]
    arguments += ["--sampler", request.sampler.value, "--device", request.device, "--seed", str(request.seed)]
    arguments += ["--steps", str(request.steps), "--samples", str(request.samples)]
    if request.slices is not None:
        arguments += ["--slices", "{}:{}".format(*request.slices)]
    if request.batchSize is not None:
        arguments += ["--batch-size", str(request.batchSize)]
    if request.uncertainty:
        arguments += ["--uncertainty", str(uncertaintyFile(folder))]
    return arguments + _segmentationArguments(request, folder)


def _segmentationArguments(request: TranslationRequest, folder: Path) -> list[str]:
    if request.findBrain:
        return ["--find-brain"]
    if request.brainMask is None:
        return ["--clusters", str(request.clusters.value)]
    writeMask(request.brainMask, request.sourceVolume, maskFile(folder))
    return ["--mask", str(maskFile(folder))]


def workerCommand() -> list[str]:
    """Return the command that works through requests in one process; it needs `workerEnvironment`."""
    return [pythonCommand(), "-m", "LMIDiffusionLib", "serve"]


def requestLine(number: int, arguments: list[str]) -> str:
    """Return a request as the worker reads it; the arguments begin with the command's name."""
    return json.dumps({"number": number, "arguments": arguments[1:]})


def shownCommand(arguments: list[str]) -> str:
    """Return the command as it is logged, without folders."""
    return " ".join(["lmidiffusion", *(Path(each).name if Path(each).is_absolute() else each for each in arguments)])


def nodeName(place: str, request: TranslationRequest, folder: Path) -> str:
    """Return the name of the node that was written to a file of the request; any other place as it is."""
    nodes = {str(inputFile(folder)): request.sourceVolume, str(maskFile(folder)): request.brainMask}
    node = nodes.get(place)
    return place if node is None else node.GetName()
