"""Items in the real subject hierarchy. In the application, Qt plugins make them for the nodes that users see."""

from typing import Any

import slicer
import vtk

_SHOWN = (
    *("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLModelNode", "vtkMRMLMarkupsNode"),
    *("vtkMRMLTransformNode", "vtkMRMLTableNode", "vtkMRMLTextNode"),
)


def install(scene: Any) -> None:
    """Give every shown node of the scene an item, as soon as it is added."""
    hierarchy(scene)
    scene.AddObserver(scene.NodeAddedEvent, _onNodeAdded)
    scene.AddObserver(scene.EndImportEvent, _onImported)


def hierarchy(scene: Any) -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _onNodeAdded(scene: Any, _event: str, node: Any) -> None:
    if not scene.IsImporting():
        _addItem(scene, node)


def _onImported(scene: Any, _event: str) -> None:
    """A scene that was saved without a hierarchy gets one."""
    for index in range(scene.GetNumberOfNodes()):
        _addItem(scene, scene.GetNthNode(index))


def _addItem(scene: Any, node: Any) -> None:
    if node.GetHideFromEditors() or not any(node.IsA(kind) for kind in _SHOWN):
        return
    items = hierarchy(scene)
    if not items.GetItemByDataNode(node):
        items.CreateItem(items.GetSceneItemID(), node)
