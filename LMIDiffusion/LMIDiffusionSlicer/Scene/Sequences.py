"""Sequences: the requests for all frames of one, and the sequences that their translations become."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LMIDiffusionLib.interface import events
from LMIDiffusionLib.interface.events import ClassVolume

from ..Base.Errors import TranslationError
from ..Base.RunFolder import segmentationFile, translatedFile
from .Geometry import arrayInOrderOf, readVolume
from .Request import TranslationRequest
from .ResultLoader import describeTranslation, resultName, segmentationName
from .Results import (
    SOURCE_ROLE,
    TABLE_ROLE,
    TranslationResult,
    className,
    fillSegments,
    isAutomatic,
    keepNotices,
    markAutomatic,
    placeBeside,
    placeSegmentation,
    withoutAir,
)


@dataclass(frozen=True)
class _Frame:
    """The translation of one frame; `geometry` is the frame itself."""

    geometry: slicer.vtkMRMLScalarVolumeNode
    array: np.ndarray
    labels: slicer.vtkMRMLLabelMapVolumeNode
    classes: tuple[ClassVolume, ...]
    seconds: float


class SourceSequence:
    """A sequence, its browser, and the volume that shows one of its frames."""

    def __init__(self, volume: slicer.vtkMRMLScalarVolumeNode, browser: slicer.vtkMRMLSequenceBrowserNode):
        self.volume = volume
        self.browser = browser
        self.sequence = browser.GetSequenceNode(volume)

    @classmethod
    def showing(cls, volume: slicer.vtkMRMLScalarVolumeNode | None) -> SourceSequence | None:
        """Return the sequence whose frame the volume is; None if there is none of two frames or more."""
        browser = None if volume is None else slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(volume)
        if browser is None or browser.GetSequenceNode(volume).GetNumberOfDataNodes() < 2:
            return None
        return cls(volume, browser)

    @property
    def frameCount(self) -> int:
        return self.sequence.GetNumberOfDataNodes()

    def requests(self, request: TranslationRequest) -> list[TranslationRequest]:
        """Return a request for each frame; frames are nodes outside the scene.

        :raises TranslationError: what is asked for cannot be had of frames.
        """
        if request.uncertainty or request.draw:
            raise TranslationError(
                _("A sequence has no uncertainty map and no sample; leave them out, or translate one frame.")
            )
        if request.brainMask is not None and self.volume.GetTransformNodeID():
            raise TranslationError(
                _(
                    "{name} is under a transform, so that its brain mask fits no frame; harden the transform first."
                ).format(name=self.volume.GetName())
            )
        none = {"outputVolume": None, "outputSegmentation": None, "outputUncertainty": None, "outputDraw": None}
        frames = (self.sequence.GetNthDataNode(number) for number in range(self.frameCount))
        return [dataclasses.replace(request, sourceVolume=frame, **none) for frame in frames]


class SequenceLoader:
    """Collects translated frames outside the scene, then makes sequences of all of them.

    The chosen outputs of the request show the frames; what they showed of an earlier translation is replaced.
    """

    def __init__(self, source: SourceSequence, request: TranslationRequest):
        self._source = source
        self._request = dataclasses.replace(request, sourceVolume=source.volume)
        self.inputs = [source.volume, source.sequence, source.browser]
        self._frames: list[_Frame] = []

    def load(self, request: TranslationRequest, folder: Path, event: events.Result) -> None:
        """Read the files of the next frame; `publish` makes nodes of all of them."""
        frame = request.sourceVolume
        array = arrayInOrderOf(frame, readVolume(translatedFile(folder), "vtkMRMLScalarVolumeNode"))
        labels = readVolume(segmentationFile(folder), "vtkMRMLLabelMapVolumeNode")
        self._frames.append(_Frame(frame, array.astype(np.float32), labels, event.classes, event.seconds))

    def publish(self, notices: Iterable[str]) -> TranslationResult:
        """Make a sequence of volumes and one of segmentations, and show them by the browser of the source.

        :param notices: kept with each frame, as a browser copies the attributes of the frame that it shows.
        """
        name = resultName(self._request)
        volumes = [_volumeOf(frame) for frame in self._frames]
        for each in volumes:
            each.SetDescription(describeTranslation(self._request))
            keepNotices(each, notices)
        volume = self._show(name, self._request.outputVolume, volumes)
        segmentation = self._show(
            segmentationName(self._request, name),
            self._request.outputSegmentation,
            [_segmentationOf(frame) for frame in self._frames],
        )
        self._present(volume, segmentation)
        table = segmentation.GetNodeReference(TABLE_ROLE) or _newNode(
            "vtkMRMLTableNode", _("{name} volumes").format(name=name)
        )
        segmentation.SetNodeReferenceID(TABLE_ROLE, table.GetID())
        self._fillTable(table)
        seconds = sum(frame.seconds for frame in self._frames)
        return TranslationResult(volume, segmentation, None, None, table, seconds)

    def _show(self, name: str, chosen, frames: list):
        """Return the node that shows one of the frames: the chosen one, or a new one."""
        browser = self._source.browser
        isChosen = chosen is not None and chosen.GetScene() is not None
        sequence = browser.GetSequenceNode(chosen) if isChosen else None
        if sequence is None:
            sequence = _newNode("vtkMRMLSequenceNode", chosen.GetName() if isChosen else name)
            browser.AddSynchronizedSequenceNode(sequence)
        if isChosen:
            browser.AddProxyNode(chosen, sequence, False)
            browser.SetOverwriteProxyName(sequence, False)
        for frame in frames if not isChosen or isAutomatic(chosen) else ():
            markAutomatic(frame)
        self._fill(sequence, frames)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        return browser.GetProxyNode(sequence)

    def _fill(self, sequence: slicer.vtkMRMLSequenceNode, frames: list) -> None:
        source = self._source.sequence
        sequence.SetIndexName(source.GetIndexName())
        sequence.SetIndexUnit(source.GetIndexUnit())
        sequence.SetIndexType(source.GetIndexType())
        values = [source.GetNthIndexValue(number) for number in range(len(frames))]
        before = [sequence.GetNthIndexValue(number) for number in range(sequence.GetNumberOfDataNodes())]
        for value, frame in zip(values, frames, strict=True):
            sequence.SetDataNodeAtValue(frame, value)
        for value in set(before) - set(values):
            sequence.RemoveDataNodeAtValue(value)

    def _present(self, volume, segmentation) -> None:
        source = self._source.volume
        for node in (volume, segmentation):
            node.SetNodeReferenceID(SOURCE_ROLE, source.GetID())
            node.SetAndObserveTransformNodeID(source.GetTransformNodeID())
            node.CreateDefaultDisplayNodes()
            placeBeside(source, node)
        display = volume.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(0, 1)
        placeSegmentation(segmentation, source, self._frames[0].classes)

    def _fillTable(self, table: slicer.vtkMRMLTableNode) -> None:
        """Make a row for each frame and a column for each class."""
        table.RemoveAllColumns()
        indices = vtk.vtkStringArray()
        unit = self._source.sequence.GetIndexUnit()
        name = self._source.sequence.GetIndexName() or _("Frame")
        indices.SetName(f"{name} [{unit}]" if unit else name)
        for number in range(len(self._frames)):
            indices.InsertNextValue(self._source.sequence.GetNthIndexValue(number))
        table.AddColumn(indices)
        for each in withoutAir(self._frames[0].classes):
            column = vtk.vtkDoubleArray()
            column.SetName(_("{name} [mL]").format(name=className(each)))
            for frame in self._frames:
                column.InsertNextValue(next(one.milliliters for one in frame.classes if one.label == each.label))
            table.AddColumn(column)
        placeBeside(self._source.volume, table)


def _newNode(nodeClass: str, name: str):
    return slicer.mrmlScene.AddNewNodeByClass(nodeClass, slicer.mrmlScene.GenerateUniqueName(name))


def _volumeOf(frame: _Frame) -> slicer.vtkMRMLScalarVolumeNode:
    volume = slicer.vtkMRMLScalarVolumeNode()
    slicer.util.updateVolumeFromArray(volume, frame.array)
    volume.CopyOrientation(frame.geometry)
    return volume


def _segmentationOf(frame: _Frame) -> slicer.vtkMRMLSegmentationNode:
    segmentation = slicer.vtkMRMLSegmentationNode()
    fillSegments(segmentation, frame.labels, frame.classes)
    return segmentation
