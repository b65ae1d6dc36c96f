"""The result of a run as nodes: volumes, segmentation and table, where a user of Slicer expects them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LMIDiffusionLib.interface.events import ClassVolume

# Lead from a translated volume to its source and from a segmentation to its table, also in a scene that was loaded.
SOURCE_ROLE = "LMIDiffusion.source"
TABLE_ROLE = "LMIDiffusion.table"
_DOUBTS = "LMIDiffusion.doubts"

_TERMINOLOGY_CONTEXT = "Segmentation category and type - DICOM master list"
_ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"
_ANATOMICAL_STRUCTURE = "SCT^123037004^Anatomical Structure"


@dataclass(frozen=True)
class _Tissue:
    """`code` of SNOMED CT, and the colors that Slicer gives it."""

    name: str
    code: str
    color: tuple[int, int, int]

    @property
    def terminology(self) -> str:
        entry = (_TERMINOLOGY_CONTEXT, _ANATOMICAL_STRUCTURE, self.code, "^^", _ANATOMIC_CONTEXT, "^^", "^^")
        return "~".join(entry)


# By the names that the library gives to the classes inside a brain mask.
_TISSUES = {
    "CSF": _Tissue("CSF", "SCT^65216001^Cerebrospinal Fluid", (85, 188, 255)),
    "grey matter": _Tissue("gray matter", "SCT^389081007^Gray Matter", (200, 200, 235)),
    "white matter": _Tissue("white matter", "SCT^389080008^White Matter", (250, 250, 210)),
}
# Of the intensity classes, the darkest first; neighbors must be told apart on a grey image.
_CLASS_COLORS = ((60, 60, 60), (68, 119, 170), (34, 136, 51), (204, 187, 68), (238, 102, 119))


@dataclass(frozen=True)
class TranslationResult:
    """Nodes that a run has filled; `seconds` that the worker took."""

    volume: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    uncertainty: slicer.vtkMRMLScalarVolumeNode | None
    table: slicer.vtkMRMLTableNode
    seconds: float


def keepDoubts(volume, doubts: Iterable[str]) -> None:
    """Keep with a translated volume what was doubtful of its source, each sentence once."""
    volume.SetAttribute(_DOUBTS, " ".join(dict.fromkeys(doubts)) or None)


def doubtsAbout(volume) -> str:
    """What `keepDoubts` has kept; empty if there was nothing."""
    return volume.GetAttribute(_DOUBTS) or ""


class OutputNodes:
    """Gives the nodes of a result; what it has created goes again if something fails on the way.

    A node that the user chose is reused, unless it has been deleted since.
    """

    def __init__(self, source):
        self._source = source
        self._created = []

    def __enter__(self) -> OutputNodes:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is not None:
            for node in self._created:
                slicer.mrmlScene.RemoveNode(node)

    def node(self, nodeClass: str, chosen, name: str):
        """The chosen node, or a new one beside the source in the subject hierarchy."""
        node = chosen
        if node is None or node.GetScene() is None:
            node = slicer.mrmlScene.AddNewNodeByClass(nodeClass, slicer.mrmlScene.GenerateUniqueName(name))
            self._created.append(node)
        placeBeside(self._source, node)
        return node


def placeBeside(source, node) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return
    sourceItem = hierarchy.GetItemByDataNode(source)
    parent = hierarchy.GetItemParent(sourceItem) if sourceItem else hierarchy.GetSceneItemID()
    item = hierarchy.GetItemByDataNode(node)
    if not item:
        hierarchy.CreateItem(parent, node)
    elif hierarchy.GetItemParent(item) == hierarchy.GetSceneItemID():  # else it lies where the user put it
        hierarchy.SetItemParent(item, parent)


def fillVolume(volume, source, array: np.ndarray, *, upperLevel: float, description: str) -> None:
    """Give a volume node the source's exact geometry and these voxels (KJI), shown from 0 to `upperLevel`."""
    slicer.util.updateVolumeFromArray(volume, array.astype(np.float32, copy=False))
    volume.CopyOrientation(source)
    volume.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    volume.SetDescription(description)
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, upperLevel)
    volume.SetNodeReferenceID(SOURCE_ROLE, source.GetID())


def fillSegmentation(segmentationNode, source, translated, labels, classes: tuple[ClassVolume, ...]) -> None:
    """Replace the segments by one for each class of a label map (a node outside the scene)."""
    fillSegments(segmentationNode, labels, classes)
    segmentationNode.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(translated)
    # Export as DICOM Segmentation looks for this reference.
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    segmentationNode.SetNodeReferenceID(role, translated.GetID())
    segmentationNode.CreateDefaultDisplayNodes()
    hideAir(segmentationNode, classes)


def fillSegments(segmentationNode, labels, classes: tuple[ClassVolume, ...]) -> None:
    """Replace the segments of a node, in the scene or outside."""
    segmentation = segmentationNode.GetSegmentation()
    segmentation.RemoveAllSegments()
    segmentation.SetSourceRepresentationName(_binaryLabelmap())
    image = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(labels)
    image.UnRegister(None)
    for each in classes:
        segmentation.AddSegment(_segment(each, image), _segmentID(each))


def _binaryLabelmap() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def _segment(each: ClassVolume, sharedLabelmap):
    """All segments share one label map, each with a value of its own."""
    segment = slicer.vtkSegment()
    tissue = _TISSUES.get(each.name)
    segment.SetName(className(each))
    color = tissue.color if tissue else _CLASS_COLORS[(each.label - 1) % len(_CLASS_COLORS)]
    segment.SetColor(*(value / 255 for value in color))
    if tissue:
        segment.SetTerminology(tissue.terminology)
    segment.SetLabelValue(each.label)
    segment.AddRepresentation(_binaryLabelmap(), sharedLabelmap)
    return segment


def _segmentID(each: ClassVolume) -> str:
    return f"Segment_{each.label}"


def hideAir(segmentationNode, classes: tuple[ClassVolume, ...]) -> None:
    """The darkest intensity class holds the air around the head, which would cover the views."""
    display = segmentationNode.GetDisplayNode()
    for each in classes:
        display.SetSegmentVisibility(_segmentID(each), each.name in _TISSUES or each.label > 1)


def className(each: ClassVolume) -> str:
    """As the segment is called."""
    return _TISSUES[each.name].name if each.name in _TISSUES else each.name


def fillTable(tableNode, classes: tuple[ClassVolume, ...]) -> None:
    """Replace the rows by the volume of every class in milliliters."""
    names, volumes = vtk.vtkStringArray(), vtk.vtkDoubleArray()
    names.SetName(_("Segment"))
    volumes.SetName(_("Volume [mL]"))
    for each in classes:
        names.InsertNextValue(className(each))
        volumes.InsertNextValue(each.milliliters)
    tableNode.RemoveAllColumns()
    for column in (names, volumes):
        tableNode.AddColumn(column)
