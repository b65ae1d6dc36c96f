"""Loading the files of a result into nodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from slicer.i18n import tr as _

from LMIDiffusionLib.interface import events

from ..Base.RunFolder import segmentationFile, translatedFile, uncertaintyFile
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
    array = arrayInOrderOf(source, readVolume(translatedFile(folder), "vtkMRMLScalarVolumeNode"))
    labels = readVolume(segmentationFile(folder), "vtkMRMLLabelMapVolumeNode")
    spread = None
    if request.uncertainty:
        spread = arrayInOrderOf(source, readVolume(uncertaintyFile(folder), "vtkMRMLScalarVolumeNode"))
    name = resultName(request)
    with OutputNodes(source) as outputs:
        volume = outputs.node("vtkMRMLScalarVolumeNode", request.outputVolume, name)
        fillVolume(volume, source, array, upperLevel=1.0, description=describeTranslation(request))
        segmentation = outputs.node(
            "vtkMRMLSegmentationNode", request.outputSegmentation, segmentationName(request, name)
        )
        fillSegmentation(segmentation, source, labels, event.classes)
        uncertainty = None if spread is None else _fillUncertainty(outputs, request, spread, name)
        table = outputs.node(
            "vtkMRMLTableNode", segmentation.GetNodeReference(TABLE_ROLE), _("{name} volumes").format(name=name)
        )
        segmentation.SetNodeReferenceID(TABLE_ROLE, table.GetID())
        fillTable(table, event.classes)
    return TranslationResult(volume, segmentation, uncertainty, table, event.seconds)


def _fillUncertainty(outputs: OutputNodes, request: TranslationRequest, spread: np.ndarray, name: str):
    volume = outputs.node(
        "vtkMRMLScalarVolumeNode", request.outputUncertainty, _("{name} uncertainty").format(name=name)
    )
    upperLevel = float(spread.max()) or 1.0
    fillVolume(volume, request.sourceVolume, spread, upperLevel=upperLevel, description=describeTranslation(request))
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
