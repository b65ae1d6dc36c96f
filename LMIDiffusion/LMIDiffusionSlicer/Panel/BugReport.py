"""A report for the developers, without a path or a name of a person, scan or file."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import slicer

import LMIDiffusionLib

from .. import LIBRARY_FOLDER
from ..Base.Errors import TranslationError
from ..Base.Paths import MODULE_FOLDER
from ..Scene.Geometry import describeVolume
from ..Scene.Request import TranslationRequest

_PACKAGES = ("torch", "numpy", "scipy", "nibabel", "safetensors", "deepbet")
_LAST_LINES = 40
# A drive or a slash, and what follows up to a space or quote that ends it.
_PATH = re.compile(r"(?:[A-Za-z]:)?[\\/](?:[^\s\"'<>|,;:]+[\\/])*[^\s\"'<>|,;:]*")


def bugReport(request: TranslationRequest, log: Iterable[str]) -> str:
    """Return versions, checkpoint, options, geometry of the source and the end of the log."""
    lines = [f"LMIDiffusion {LMIDiffusionLib.__version__}", _system(), _versions()]
    lines += [f"checkpoint: {_checkpoint(request)}", f"options: {_options(request)}"]
    if request.sourceVolume is not None and request.sourceProblem() is None:
        lines.append(f"source: {describeVolume(request.sourceVolume)}")
    text = "\n".join([*lines, "log:", *list(log)[-_LAST_LINES:]])
    return _anonymous(text)


def _system() -> str:
    version = f"{slicer.app.majorVersion}.{slicer.app.minorVersion}"
    return f"Slicer {version}, Python {sys.version.split()[0]}, {platform.system()} {platform.machine()}"


def _versions() -> str:
    return ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _checkpoint(request: TranslationRequest) -> str:
    try:
        summary = request.summary()
    except TranslationError:
        return "unreadable"
    return f"{summary.modality}, {summary.pixel_size:g} mm, {summary.training_data}"


def _options(request: TranslationRequest) -> str:
    names = ("device", "samples", "steps", "seed", "slices", "batchSize", "uncertainty", "draw", "findBrain")
    values = [f"{name} {getattr(request, name)}" for name in names]
    return ", ".join([request.sampler.value, *values, f"brain mask {request.brainMask is not None}"])


def _anonymous(text: str) -> str:
    """Replace folders, which may hold spaces, then all other paths, then names of nodes."""
    folders = {str(folder) for folder in (Path.home(), slicer.app.temporaryPath, LIBRARY_FOLDER, MODULE_FOLDER)}
    for folder in sorted(folders, key=len, reverse=True):
        text = text.replace(folder, "/folder")
    text = _PATH.sub("<path>", text)
    nodes = [*slicer.util.getNodesByClass("vtkMRMLVolumeNode"), *slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
    for name in {node.GetName() for node in nodes} - {""}:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "<node>", text)
    return text
