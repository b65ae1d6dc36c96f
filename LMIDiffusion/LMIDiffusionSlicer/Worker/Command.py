"""Requests as files and jobs of the library's worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..Base.Checkpoints import resolveCheckpoint
from ..Base.Paths import pythonCommand
from ..Base.RunFolder import drawFile, inputFile, maskFile, segmentationFile, translatedFile, uncertaintyFile
from ..Scene.Geometry import writeMask, writeVolume
from ..Scene.Request import TranslationRequest


def jobFields(request: TranslationRequest, folder: Path) -> dict[str, Any]:
    """Return the fields of the worker's job for a request, after writing its inputs into the folder of its results.

    :raises TranslationError: a file cannot be written, or the brain mask is none.
    """
    checkpoint = resolveCheckpoint(request.checkpoint)
    writeVolume(request.sourceVolume, inputFile(folder))
    return {
        "source": str(inputFile(folder)),
        "output": str(translatedFile(folder)),
        "model": {"checkpoint": str(checkpoint), "device": request.device},
        "segmentation": str(segmentationFile(folder)),
        "drawn": {
            "uncertainty": str(uncertaintyFile(folder)) if request.uncertainty else None,
            "sample": str(drawFile(folder)) if request.draw else None,
        },
        **_segmentationFields(request, folder),
        "options": {
            "sampler": request.sampler.value,
            "steps": request.steps,
            "samples": request.samples,
            "slices": request.slices,
            "batch_size": request.batchSize,
            "seed": request.seed,
        },
    }


def _segmentationFields(request: TranslationRequest, folder: Path) -> dict[str, Any]:
    if request.findBrain:
        return {"mask": "found"}
    if request.brainMask is None:
        return {"clusters": request.clusters.value}
    writeMask(request.brainMask, request.sourceVolume, maskFile(folder))
    return {"mask": str(maskFile(folder))}


def workerCommand() -> list[str]:
    """Return the command that works through requests in one process; it needs `workerEnvironment`."""
    return [pythonCommand(), "-m", "LMIDiffusionLib", "serve"]


def requestLine(number: int, job: dict[str, Any]) -> str:
    """Return a request as the worker reads it."""
    return json.dumps({"number": number, "job": job})


def shownJob(job: dict[str, Any]) -> str:
    """Return a job as it is logged, without folders."""
    return f"translate {json.dumps(_withoutFolders(job))}"


def _withoutFolders(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _withoutFolders(each) for name, each in value.items()}
    return Path(value).name if isinstance(value, str) else value


def nodeName(place: str, request: TranslationRequest, folder: Path) -> str:
    """Return the name of the node that was written to a file of the request; any other place as it is."""
    nodes = {str(inputFile(folder)): request.sourceVolume, str(maskFile(folder)): request.brainMask}
    node = nodes.get(place)
    return place if node is None else node.GetName()
