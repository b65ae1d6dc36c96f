"""Loading the files of a result into nodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from slicer.i18n import tr as _

from LMIDiffusionLib.interface import events

from ..Base.RunFolder import drawFile, segmentationFile, translatedFile, uncertaintyFile
from .DicomSeries import UIDS
from .Geometry import arrayInOrderOf, readVolume
from .Request import TranslationRequest
from .Results import TABLE_ROLE, OutputNodes, TranslationResult, fillSegmentation, fillTable, fillVolume


class ResultLoader:
    """Makes nodes of the files of each request; `inputs` must stay in the scene meanwhile."""

    def __init__(self, requests: Sequence[TranslationRequest]):
        self.inputs = [request.sourceVolume for request in requests]

    def load(self, request: TranslationRequest, folder: Path, event: events.Result) -> TranslationResult:
        return loadResult(request, folder, event)


def loadResult(request: TranslationRequest, folder: Path, event: events.Result) -> TranslationResult:
    """Read all files, then fill the nodes.

    :raises TranslationError: a file is missing or does not fit; no node has been made or changed then.
    """
    source = request.sourceVolume
    array = _arrayOf(source, translatedFile(folder))
    labels = readVolume(segmentationFile(folder), "vtkMRMLLabelMapVolumeNode")
    errors = _arrayOf(source, uncertaintyFile(folder)) if request.uncertainty else None
    drawn = _arrayOf(source, drawFile(folder)) if request.draw else None
    name = resultName(request)
    with OutputNodes(source) as outputs:
        volume = outputs.node("vtkMRMLScalarVolumeNode", request.outputVolume, name)
        fillVolume(volume, source, array, upperLevel=1.0, description=describeTranslation(request))
        segmentation = outputs.node(
            "vtkMRMLSegmentationNode", request.outputSegmentation, segmentationName(request, name)
        )
        fillSegmentation(segmentation, source, labels, event.classes)
        uncertainty = None if errors is None else _fillUncertainty(outputs, request, errors, name)
        draw = None if drawn is None else _fillDraw(outputs, request, drawn, name)
        table = outputs.node(
            "vtkMRMLTableNode", segmentation.GetNodeReference(TABLE_ROLE), _("{name} volumes").format(name=name)
        )
        segmentation.SetNodeReferenceID(TABLE_ROLE, table.GetID())
        fillTable(table, event.classes)
    return TranslationResult(volume, segmentation, uncertainty, draw, table, event.seconds)


def _arrayOf(source, path: Path) -> np.ndarray:
    return arrayInOrderOf(source, readVolume(path, "vtkMRMLScalarVolumeNode"))


def _fillDraw(outputs: OutputNodes, request: TranslationRequest, drawn: np.ndarray, name: str):
    volume = outputs.node("vtkMRMLScalarVolumeNode", request.outputDraw, _("{name} one sample").format(name=name))
    description = _("One sample for looking, not the mean: its details are made up. {text}").format(
        text=describeTranslation(request)
    )
    fillVolume(volume, request.sourceVolume, drawn, upperLevel=1.0, description=description)
    return volume


def _fillUncertainty(outputs: OutputNodes, request: TranslationRequest, errors: np.ndarray, name: str):
    volume = outputs.node(
        "vtkMRMLScalarVolumeNode", request.outputUncertainty, _("{name} uncertainty").format(name=name)
    )
    upperLevel = float(errors.max()) or 1.0
    fillVolume(volume, request.sourceVolume, errors, upperLevel=upperLevel, description=describeTranslation(request))
    return volume


def resultName(request: TranslationRequest) -> str:
    """Return the name of a translation that gets a node of its own."""
    name = _("{source} as {modality}").format(
        source=request.sourceVolume.GetName(), modality=request.summary().modality
    )
    return name if request.slices is None else _("{name} (part)").format(name=name)


def segmentationName(request: TranslationRequest, name: str) -> str:
    """Return the name of a new segmentation, which the export as DICOM SEG makes the description of the series."""
    isFromDicom = bool(request.sourceVolume.GetAttribute(UIDS))
    text = _("{name} segmentation (synthetic)") if isFromDicom else _("{name} segmentation")
    return text.format(name=name)


def describeTranslation(request: TranslationRequest) -> str:
    """Return how a translation was made, for the description of its node."""
    return _(
        "Made by LMIDiffusion from {source}: {sampler}, {steps} steps, {samples} samples, seed {seed}."
        " For research only."
    ).format(
        source=request.sourceVolume.GetName(),
        sampler=request.sampler.value,
        steps=request.steps,
        samples=request.samples,
        seed=request.seed,
    )
