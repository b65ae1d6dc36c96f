"""`slicer.modules` and `slicer.app.moduleManager()`; loading of scripted modules."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import qt
import slicer
from mrml_widgets import qMRMLNodeComboBox, qMRMLWidget


class Module:
    """An attribute of `slicer.modules`, with the properties that a module may set and no others."""

    __slots__ = (
        *("name", "path", "title", "categories", "dependencies", "contributors", "helpText", "acknowledgementText"),
        *("icon", "hidden", "index", "associatedNodeTypes", "_logic", "_representation"),
    )

    def __init__(self, name: str, logic: Any = None, path: str = ""):
        self.name, self.path, self.title = name, path, name
        self.categories, self.dependencies, self.contributors = [], [], []
        self.helpText = self.acknowledgementText = ""
        self.icon, self.hidden, self.index, self.associatedNodeTypes = None, False, -1, []
        self._logic, self._representation = logic, None

    def logic(self) -> Any:
        if self._logic is None:
            raise NotImplementedError(f"{self.name} is a scripted module: make its logic by its class")
        return self._logic

    def widgetRepresentation(self) -> Any:
        if self._representation is None:
            raise NotImplementedError(f"The host has no panel of the module {self.name}")
        return self._representation

    @property
    def widget(self) -> Any:
        """The Python object of the panel; Reload makes a new one."""
        return self.widgetRepresentation().self()


@qt.standIn
class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The widget that holds a scripted module's panel."""

    def __init__(self, moduleName: str):
        super().__init__()
        self._moduleName, self._widget, self._isEntered = moduleName, None, False
        self.setLayout(qt.QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)

    def self(self) -> Any:
        return self._widget

    def enter(self) -> None:
        """Show the panel, as when the user chooses the module."""
        self._isEntered = True
        self._widget.enter()

    def exit(self) -> None:
        """Leave the panel, as when the user chooses another module."""
        self._isEntered = False
        self._widget.exit()

    isEntered = qt.Property(bool, lambda self: self._isEntered)

    def reload(self) -> None:
        """Make the panel by the class in the module's file as it is loaded now."""
        name = f"{self._moduleName}Widget"
        self._widget = getattr(sys.modules[self._moduleName], name)(self)
        setattr(slicer.modules, name, self._widget)
        self._widget.setup()


@qt.standIn
class ModuleManager(qt.QObject):
    moduleAboutToBeUnloaded = qt.Signal(str)

    def module(self, name: str) -> Module | None:
        found = getattr(slicer.modules, name.lower(), None)
        return found if isinstance(found, Module) else None

    def modulesNames(self) -> list[str]:
        return [each.name for each in vars(slicer.modules).values() if isinstance(each, Module)]

    def unloadModules(self) -> None:
        for name in reversed(self.modulesNames()):
            self.moduleAboutToBeUnloaded.emit(name)


def install(logics: dict[str, Any]) -> None:
    """Make `slicer.modules` of these logics."""
    slicer.modules = sys.modules["slicer.modules"] = types.ModuleType("slicer.modules")
    for name, logic in logics.items():
        setattr(slicer.modules, name.lower(), Module(name, logic))
    editor = slicer.modules.segmenteditor = Module("SegmentEditor")
    editor._representation = qSlicerSegmentEditorWidget()
    statistics = slicer.modules.segmentstatistics = Module("SegmentStatistics")
    statistics._representation = SegmentStatisticsWidget()
    slicer.util.selectModule = _selectModule


@qt.standIn
class qSlicerSegmentEditorWidget(qMRMLWidget):
    """The panel of the Segment Editor, as far as others use it: the node that says what is edited."""

    def __init__(self) -> None:
        super().__init__()
        self._editor = None

    def enter(self) -> None:
        """The application makes the editor's node when the user first sees it."""
        if self._editor is None:
            self._editor = types.SimpleNamespace(parameterSetNode=None)
        node = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag("SegmentEditor")
            node = slicer.mrmlScene.AddNode(node)
        self._editor.parameterSetNode = node

    def exit(self) -> None:
        pass

    def self(self) -> Any:
        return self._editor


@qt.standIn
class SegmentStatisticsWidget(qMRMLWidget):
    """The panel of Segment Statistics, as far as others use it: the selectors of its inputs, made when first seen."""

    def __init__(self) -> None:
        super().__init__()
        self._widget = None

    def enter(self) -> None:
        if self._widget is None:
            self._widget = types.SimpleNamespace(
                segmentationSelector=_selector("vtkMRMLSegmentationNode"),
                scalarSelector=_selector("vtkMRMLScalarVolumeNode"),
            )

    def exit(self) -> None:
        pass

    def self(self) -> Any:
        return self._widget


def _selector(nodeType: str) -> qMRMLNodeComboBox:
    selector = qMRMLNodeComboBox()
    selector.nodeTypes, selector.noneEnabled = [nodeType], True
    selector.setMRMLScene(slicer.mrmlScene)
    return selector


def _selectModule(module: str) -> None:
    """Leave all other panels and enter this one; `slicer.util.selectModule` itself wants a main window."""
    name = module if isinstance(module, str) else module.name
    found = getattr(slicer.modules, name.lower(), None)
    if not isinstance(found, Module):
        raise RuntimeError(f"There is no module {name}")
    for each in vars(slicer.modules).values():
        if isinstance(each, Module) and each._representation is not None and each is not found:
            each._representation.exit()
    found.widgetRepresentation().enter()


def load(path: Path) -> Module:
    """Load NAME.py as Slicer does: the module first, then its panel."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} is no Python file")
    python = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(python)
    module = Module(name, path=str(path))
    setattr(slicer.modules, name.lower(), module)
    instance = getattr(python, name)(module)
    setattr(slicer.modules, f"{name}Instance", instance)
    if hasattr(instance, "setup"):
        instance.setup()
    module._representation = qSlicerScriptedLoadableModuleWidget(name)
    module._representation.reload()
    return module
