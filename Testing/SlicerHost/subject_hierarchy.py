"""Items in the real subject hierarchy, and its plugins in Python.

In the application, Qt plugins make the items for the nodes that users see.
"""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import qt
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


class AbstractScriptedSubjectHierarchyPlugin:
    """Base class of plugins; Slicer has it in the package SubjectHierarchyPlugins."""

    def __init__(self, scriptedPlugin: Any):
        self.scriptedPlugin = scriptedPlugin
        qSlicerSubjectHierarchyPluginHandler.instance().registerPlugin(scriptedPlugin)


@qt.standIn
class qSlicerSubjectHierarchyScriptedPlugin(qt.QObject):
    """Loads a plugin by the path of its file, as a module of its own, and asks it by the names of its methods."""

    name = qt.Property(str, lambda self: self.objectName, lambda self, name: self.setObjectName(name))

    def setPythonSource(self, path: str) -> bool:
        if not isinstance(path, str) or not path.endswith(".py"):
            return False
        name = Path(path).stem
        className = name if name.endswith("SubjectHierarchyPlugin") else f"{name}SubjectHierarchyPlugin"
        specification = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        self._plugin = getattr(module, className)(self)
        return True


@qt.standIn
class qSlicerSubjectHierarchyPluginHandler(qt.QObject):
    _instance = None

    @classmethod
    def instance(cls) -> Any:
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def __init__(self) -> None:
        super().__init__()
        self._plugins: list[Any] = []
        self._item = 0

    def registerPlugin(self, plugin: Any) -> bool:
        """A plugin of the same name is registered once."""
        if not plugin.name or any(each.name == plugin.name for each in self._plugins):
            return False
        self._plugins.append(plugin)
        return True

    def currentItem(self) -> int:
        return self._item

    def contextMenu(self, item: int) -> dict[str, Any]:
        """Return the visible actions for an item by their texts; the application shows them in a tree view."""
        self._item = item
        actions = [action for each in self._plugins for action in each._plugin.itemContextMenuActions()]
        for action in actions:
            action.visible = False
        for each in self._plugins:
            each._plugin.showContextMenuActionsForItem(item)
        return {action.text: action for action in actions if action.visible}


def installPlugins() -> None:
    for each in (qSlicerSubjectHierarchyScriptedPlugin, qSlicerSubjectHierarchyPluginHandler):
        setattr(slicer, each.__name__, each)
    package = sys.modules["SubjectHierarchyPlugins"] = types.ModuleType("SubjectHierarchyPlugins")
    package.AbstractScriptedSubjectHierarchyPlugin = AbstractScriptedSubjectHierarchyPlugin
