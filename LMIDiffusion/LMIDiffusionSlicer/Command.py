"""A request as files and as arguments of the library's command."""

from __future__ import annotations

import json
from pathlib import Path

from .Checkpoints import resolveCheckpoint
from .Geometry import writeMask, writeVolume
from .Library import MODULE_FOLDER, pythonCommand
from .Request import TranslationRequest


def inputFile(folder: Path) -> Path:
    return folder / "source.nii"


def translatedFile(folder: Path) -> Path:
    return folder / "volume.nii"


def segmentationFile(folder: Path) -> Path:
    return folder / "segmentation.nii"


def uncertaintyFile(folder: Path) -> Path:
    return folder / "uncertainty.nii"


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
    mask = folder / "mask.nii"
    writeMask(request.brainMask, request.sourceVolume, mask)
    return ["--mask", str(mask)]


def workerCommand(jobs: list[list[str]], folder: Path) -> list[str]:
    """The command that works through lists of arguments in one process."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs), encoding="utf-8")
    return [pythonCommand(), str(MODULE_FOLDER / "LMIDiffusionSlicer" / "Worker.py"), str(file)]
