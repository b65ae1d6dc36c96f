"""A source that is a frame of a sequence: all its frames, and the sequences that their translations become."""

from __future__ import annotations

import dataclasses
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
from .ResultLoader import resultName
from .Results import SOURCE_ROLE, TABLE_ROLE, TranslationResult, className, fillSegments, hideAir, placeBeside


@dataclass(frozen=True)
class _Frame:
    """The translation of one frame; `geometry` is the frame itself."""

    geometry: slicer.vtkMRMLScalarVolumeNode
    array: np.ndarray
    labels: slicer.vtkMRMLLabelMapVolumeNode
    classes: tuple[ClassVolume, ...]
    seconds: float


class SourceSequence:
    """The sequence that a volume shows a frame of."""

    def __init__(self, volume: slicer.vtkMRMLScalarVolumeNode, browser: slicer.vtkMRMLSequenceBrowserNode):
        self.volume = volume
        self.browser = browser
        self.sequence = browser.GetSequenceNode(volume)

    @classmethod
    def of(cls, volume: slicer.vtkMRMLScalarVolumeNode | None) -> SourceSequence | None:
        """None if the volume belongs to no sequence of two frames or more."""
        browser = None if volume is None else slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(volume)
        if browser is None or browser.GetSequenceNode(volume).GetNumberOfDataNodes() < 2:
            return None
        return cls(volume, browser)

    @property
    def frameCount(self) -> int:
        return self.sequence.GetNumberOfDataNodes()

    def requests(self, request: TranslationRequest) -> list[TranslationRequest]:
        """A request for each frame, which is outside the scene.

        :raises TranslationError: what is asked for cannot be had of frames.
        """
        if request.uncertainty:
            raise TranslationError(_("A sequence has no uncertainty map; leave it out, or translate one frame."))
        if request.brainMask is not None and self.volume.GetTransformNodeID():
            raise TranslationError(
                _(
                    "{name} is under a transform, so that its brain mask fits no frame; harden the transform first."
                ).format(name=self.volume.GetName())
            )
        none = {"outputVolume": None, "outputSegmentation": None, "outputUncertainty": None}
        frames = (self.sequence.GetNthDataNode(number) for number in range(self.frameCount))
        return [dataclasses.replace(request, sourceVolume=frame, **none) for frame in frames]


class SequencePublisher:
    """Collects frames outside the scene; all of them become sequences, or none."""

    def __init__(self, source: SourceSequence, request: TranslationRequest):
        self._source = source
        self._name = resultName(dataclasses.replace(request, sourceVolume=source.volume))
        self._frames: list[_Frame] = []

    def collect(self, request: TranslationRequest, folder: Path, event: events.Result) -> None:
        """Read the files of the next frame."""
        frame = request.sourceVolume
        array = arrayInOrderOf(frame, readVolume(translatedFile(folder), "vtkMRMLScalarVolumeNode"))
        labels = readVolume(segmentationFile(folder), "vtkMRMLLabelMapVolumeNode")
        self._frames.append(_Frame(frame, array.astype(np.float32), labels, event.classes, event.seconds))

    def publish(self) -> TranslationResult:
        """Make a sequence of volumes and one of segmentations, and show them by the browser of the source."""
        volumes = self._sequence(self._name, [_volumeOf(frame) for frame in self._frames])
        name = _("{name} segmentation").format(name=self._name)
        segmentations = self._sequence(name, [_segmentationOf(frame) for frame in self._frames])
        for sequence in (volumes, segmentations):
            self._source.browser.AddSynchronizedSequenceNode(sequence)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self._source.browser)
        volume, segmentation = map(self._source.browser.GetProxyNode, (volumes, segmentations))
        self._present(volume, segmentation)
        table = self._table()
        segmentation.SetNodeReferenceID(TABLE_ROLE, table.GetID())
        seconds = sum(frame.seconds for frame in self._frames)
        return TranslationResult(volume, segmentation, None, table, seconds)

    def _sequence(self, name: str, nodes: list) -> slicer.vtkMRMLSequenceNode:
        source = self._source.sequence
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", slicer.mrmlScene.GenerateUniqueName(name))
        sequence.SetIndexName(source.GetIndexName())
        sequence.SetIndexUnit(source.GetIndexUnit())
        sequence.SetIndexType(source.GetIndexType())
        for number, node in enumerate(nodes):
            sequence.SetDataNodeAtValue(node, source.GetNthIndexValue(number))
        return sequence

    def _present(self, volume, segmentation) -> None:
        source = self._source.volume
        volume.SetNodeReferenceID(SOURCE_ROLE, source.GetID())
        for node in (volume, segmentation):
            node.SetAndObserveTransformNodeID(source.GetTransformNodeID())
            node.CreateDefaultDisplayNodes()
            placeBeside(source, node)
        display = volume.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(0, 1)
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        hideAir(segmentation, self._frames[0].classes)

    def _table(self) -> slicer.vtkMRMLTableNode:
        """A row for each frame, a column for each class."""
        name = slicer.mrmlScene.GenerateUniqueName(_("{name} volumes").format(name=self._name))
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
        indices = vtk.vtkStringArray()
        unit = self._source.sequence.GetIndexUnit()
        name = self._source.sequence.GetIndexName() or _("Frame")
        indices.SetName(f"{name} [{unit}]" if unit else name)
        for number in range(len(self._frames)):
            indices.InsertNextValue(self._source.sequence.GetNthIndexValue(number))
        table.AddColumn(indices)
        for position, each in enumerate(self._frames[0].classes):
            column = vtk.vtkDoubleArray()
            column.SetName(_("{name} [mL]").format(name=className(each)))
            for frame in self._frames:
                column.InsertNextValue(frame.classes[position].milliliters)
            table.AddColumn(column)
        placeBeside(self._source.volume, table)
        return table


def _volumeOf(frame: _Frame) -> slicer.vtkMRMLScalarVolumeNode:
    volume = slicer.vtkMRMLScalarVolumeNode()
    slicer.util.updateVolumeFromArray(volume, frame.array)
    volume.CopyOrientation(frame.geometry)
    return volume


def _segmentationOf(frame: _Frame) -> slicer.vtkMRMLSegmentationNode:
    segmentation = slicer.vtkMRMLSegmentationNode()
    fillSegments(segmentation, frame.labels, frame.classes)
    return segmentation
