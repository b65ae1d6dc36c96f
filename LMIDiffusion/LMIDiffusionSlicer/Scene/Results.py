"""Results of a run as nodes: volumes, segmentation and table, where a user of Slicer expects them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LMIDiffusionLib.interface.events import ClassVolume

# References from each result to its source and from a segmentation to its table, also in a scene that was loaded.
SOURCE_ROLE = "LMIDiffusion.source"
TABLE_ROLE = "LMIDiffusion.table"
_NOTICES = "LMIDiffusion.notices"
_NOTICES_OF_0_1 = "LMIDiffusion.doubts"  # in scenes that version 0.1.0 has saved
_AUTOMATIC = "LMIDiffusion.automatic"
# Opacity of the fill of segments in slice views, so that the image is seen through it.
_FILL_OPACITY = 0.3
# Opacity of the fluid around the brain in 3D, so that the brain is seen through it.
_FLUID_OPACITY = 0.1

_TERMINOLOGY_CONTEXT = "Segmentation category and type - DICOM master list"
_ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"
_ANATOMICAL_STRUCTURE = "SCT^123037004^Anatomical Structure"


@dataclass(frozen=True)
class _Tissue:
    """A tissue inside the brain mask: its SNOMED CT code, and a color of its own.

    Slicer's colors of gray and white matter cannot be told apart as outlines.
    """

    code: str
    color: tuple[int, int, int]

    @property
    def terminology(self) -> str:
        entry = (_TERMINOLOGY_CONTEXT, _ANATOMICAL_STRUCTURE, self.code, "^^", _ANATOMIC_CONTEXT, "^^", "^^")
        return "~".join(entry)


# Keys: the library's names of the classes inside a brain mask.
_TISSUES = {
    "CSF": _Tissue("SCT^65216001^Cerebrospinal Fluid", (64, 160, 255)),
    "gray matter": _Tissue("SCT^389081007^Gray Matter", (232, 116, 96)),
    "white matter": _Tissue("SCT^389080008^White Matter", (255, 225, 100)),
}
# Colors of the intensity classes, the darkest class first; neighbors can be told apart on a gray image.
_CLASS_COLORS = ((60, 60, 60), (64, 160, 255), (40, 180, 99), (255, 225, 100), (232, 116, 96))


@dataclass(frozen=True)
class TranslationResult:
    """Nodes that a run has filled, and the time that the worker took in seconds."""

    volume: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    uncertainty: slicer.vtkMRMLScalarVolumeNode | None
    draw: slicer.vtkMRMLScalarVolumeNode | None
    table: slicer.vtkMRMLTableNode
    seconds: float


def keepNotices(volume, notices: Iterable[str]) -> None:
    """Keep the notices about a source with its translation, each sentence once."""
    volume.SetAttribute(_NOTICES, " ".join(dict.fromkeys(notices)) or None)


def noticesOf(volume) -> str:
    """Return the notices kept with a translation; empty if there are none."""
    return volume.GetAttribute(_NOTICES) or volume.GetAttribute(_NOTICES_OF_0_1) or ""


def markAutomatic(node) -> None:
    """Mark a node that no user has chosen, as `isAutomatic` reads it."""
    node.SetAttribute(_AUTOMATIC, "yes")


def isAutomatic(node) -> bool:
    """Tell whether a run has created the node, so that the next source gets one of its own."""
    return node is not None and node.GetAttribute(_AUTOMATIC) is not None


class OutputNodes:
    """Nodes of a result; those that it has created are removed if something fails on the way.

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
        """Return the chosen node, or a new one beside the source in the subject hierarchy."""
        node = chosen
        if node is None or node.GetScene() is None:
            node = slicer.mrmlScene.AddNewNodeByClass(nodeClass, slicer.mrmlScene.GenerateUniqueName(name))
            markAutomatic(node)
            self._created.append(node)
        node.SetNodeReferenceID(SOURCE_ROLE, self._source.GetID())
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


def fillSegmentation(segmentationNode, source, labels, classes: tuple[ClassVolume, ...]) -> None:
    """Replace the segments by one for each class of a label map (a node outside the scene)."""
    fillSegments(segmentationNode, labels, classes)
    placeSegmentation(segmentationNode, source, classes)


def placeSegmentation(segmentationNode, source, classes: tuple[ClassVolume, ...]) -> None:
    """Put a segmentation where its source lies, and show its segments."""
    segmentationNode.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(source)
    # The export as DICOM Segmentation reads the UIDs of this node: the source has some, the translation has none.
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    segmentationNode.SetNodeReferenceID(role, source.GetID())
    segmentationNode.CreateDefaultDisplayNodes()
    _showSegments(segmentationNode.GetDisplayNode(), classes)


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
    """Make a segment; all share one label map, each with a value of its own."""
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


def _showSegments(display, classes: tuple[ClassVolume, ...]) -> None:
    """Fill thinly in slice views, hide the air, and in 3D let the brain be seen through the fluid around it."""
    display.SetOpacity2DFill(_FILL_OPACITY)
    visible = withoutAir(classes)
    for each in classes:
        display.SetSegmentVisibility(_segmentID(each), each in visible)
    for each in visible[:1]:
        display.SetSegmentOpacity3D(_segmentID(each), _FLUID_OPACITY)


def withoutAir(classes: tuple[ClassVolume, ...]) -> list[ClassVolume]:
    """Return the classes but for the darkest of the intensity classes, which holds the air around the head."""
    return [each for each in classes if each.name in _TISSUES or each.label > 1]


def className(each: ClassVolume) -> str:
    """Return the name of the class's segment, translated."""
    tissues = {"CSF": _("CSF"), "gray matter": _("gray matter"), "white matter": _("white matter")}
    return tissues.get(each.name) or _("Class {number}").format(number=each.label)


def fillTable(tableNode, classes: tuple[ClassVolume, ...]) -> None:
    """Replace the rows by the volume of every class but the air, in milliliters."""
    names, volumes = vtk.vtkStringArray(), vtk.vtkDoubleArray()
    names.SetName(_("Segment"))
    volumes.SetName(_("Volume [mL]"))
    for each in withoutAir(classes):
        names.InsertNextValue(className(each))
        volumes.InsertNextValue(each.milliliters)
    tableNode.RemoveAllColumns()
    for column in (names, volumes):
        tableNode.AddColumn(column)
