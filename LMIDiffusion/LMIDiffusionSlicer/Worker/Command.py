"""A request as files and as arguments of the library's command."""

from __future__ import annotations

import json
from pathlib import Path

from ..Base.Checkpoints import resolveCheckpoint
from ..Base.Paths import pythonCommand
from ..Base.RunFolder import inputFile, maskFile, segmentationFile, translatedFile, uncertaintyFile
from ..Scene.Geometry import writeMask, writeVolume
from ..Scene.Request import TranslationRequest


def translateArguments(request: TranslationRequest, folder: Path) -> list[str]:
    """Arguments that translate a request; its inputs are written into the folder, where its results will lie.

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
    """The command that works through requests in one process; `workerEnvironment` and `LIBRARY_FOLDER` go with it."""
    return [pythonCommand(), "-m", "LMIDiffusionLib", "serve"]


def requestLine(number: int, arguments: list[str]) -> str:
    """A request as that command reads it, of arguments that begin with its name."""
    return json.dumps({"number": number, "arguments": arguments[1:]})


def shownCommand(arguments: list[str]) -> str:
    """The command as it is logged, without folders."""
    return " ".join(["lmidiffusion", *(Path(each).name if Path(each).is_absolute() else each for each in arguments)])


def withNodeNames(message: str, request: TranslationRequest, folder: Path) -> str:
    """What the library says of a request's files, said of the nodes that they were written from."""
    for file, node in ((inputFile(folder), request.sourceVolume), (maskFile(folder), request.brainMask)):
        message = message.replace(str(file), "" if node is None else node.GetName())
    return message
