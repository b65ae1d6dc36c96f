"""The qMRML widgets that panels use, connected to the real scene."""

import functools
from collections.abc import Callable
from typing import Any

import ctk
import qt
import slicer
import vtk


@qt.standIn
class qMRMLWidget(qt.QWidget):
    mrmlSceneChanged = qt.Signal(object)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._scene = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


def _listProperty(propertyType: Any, name: str, default: Any) -> Any:
    """A property of the node selector that decides what is in its list."""
    key = f"_{name}"

    def read(self: Any) -> Any:
        return vars(self).get(key, default)

    def write(self: Any, value: Any) -> None:
        vars(self)[key] = value
        self._rebuild()

    return qt.Property(propertyType, read, write)


@qt.standIn
class qMRMLNodeComboBox(qt.QWidget):
    """Selects a node; entries after the nodes rename, create and delete them."""

    currentNodeChanged = qt.Signal(object)
    currentNodeIDChanged = qt.Signal(str)
    nodeAddedByUser = qt.Signal(object)

    nodeTypes = _listProperty("QStringList", "nodeTypes", [])
    noneEnabled = _listProperty(bool, "noneEnabled", False)
    addEnabled = _listProperty(bool, "addEnabled", True)
    removeEnabled = _listProperty(bool, "removeEnabled", True)
    renameEnabled = _listProperty(bool, "renameEnabled", False)
    showHidden = _listProperty(bool, "showHidden", False)
    showChildNodeTypes = _listProperty(bool, "showChildNodeTypes", True)
    noneDisplay = _listProperty(str, "noneDisplay", "None")
    baseName = _listProperty(str, "baseName", "")

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._scene, self._observations, self._nodeID, self._isBuilding = None, [], None, False
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._comboBox = qt.QComboBox()
        self._comboBox.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        layout.addWidget(self._comboBox)
        self._comboBox.currentIndexChanged.connect(self._onIndexChanged)
        self._comboBox.activated.connect(self._onActivated)
        self.setEnabled(False)

    def setMRMLScene(self, scene: Any) -> None:
        for observation in self._observations:
            self._scene.RemoveObserver(observation)
        self._scene, self._observations = scene, []
        self.setEnabled(scene is not None)
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent)
            events += (scene.EndCloseEvent, scene.EndImportEvent, scene.EndBatchProcessEvent)
            self._observations = [scene.AddObserver(event, self._onScene) for event in events]
        self._rebuild()

    def mrmlScene(self) -> Any:
        return self._scene

    def _onScene(self, _caller: Any, _event: str) -> None:
        self._rebuild()

    def _accepts(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        return any(
            node.GetClassName() == each or (self.showChildNodeTypes and node.IsA(each)) for each in self.nodeTypes
        )

    def _nodes(self) -> list[Any]:
        nodes = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._accepts(node)]

    def _rebuild(self) -> None:
        scene = self._scene
        if scene is None or scene.IsBatchProcessing() or scene.IsClosing() or scene.IsImporting():
            return
        self._isBuilding = True
        before = self._comboBox.currentIndex
        self._comboBox.clear()
        if self.noneEnabled:
            self._comboBox.addItem(self.noneDisplay, None)
        for node in self._nodes():
            self._comboBox.addItem(node.GetName(), node.GetID())
        for text, action in self._actions():
            self._comboBox.addItem(text, action)
        self._comboBox.setCurrentIndex(self._indexAfter(before))
        self._isBuilding = False
        self._onIndexChanged(self._comboBox.currentIndex)

    def _actions(self) -> list[tuple[str, Callable[[], Any]]]:
        kinds = self.nodeTypes or []
        label = _label(kinds[0]) if len(kinds) == 1 else "node"
        actions = [(f"Rename current {label}", self.renameCurrentNode)] if self.renameEnabled else []
        if self.addEnabled:
            actions += [(f"Create new {_label(kind)}", functools.partial(self.addNode, kind)) for kind in kinds]
        if self.removeEnabled:
            actions.append((f"Delete current {label}", self.removeCurrentNode))
        return actions

    def _indexAfter(self, row: int) -> int:
        """Return the selection in a new list: a node that has been removed leaves it to the row above."""
        isRemoved = self._nodeID is not None and self._scene.GetNodeByID(self._nodeID) is None
        return max(row - 1, 0) if isRemoved and self._nodes() else self._indexOf(self._nodeID)

    def _indexOf(self, nodeID: str | None) -> int:
        nodes = [node.GetID() for node in self._nodes()]
        if nodeID in nodes:
            return self._comboBox.findData(nodeID)
        if self.noneEnabled:
            return 0
        return self._comboBox.findData(nodes[0]) if nodes else -1

    def _onIndexChanged(self, index: int) -> None:
        nodeID = self._comboBox.itemData(index) if index >= 0 else None
        if self._isBuilding or callable(nodeID) or nodeID == self._nodeID:
            return
        self._nodeID = nodeID
        self.currentNodeChanged.emit(self.currentNode())
        self.currentNodeIDChanged.emit(nodeID or "")

    def _onActivated(self, index: int) -> None:
        action = self._comboBox.itemData(index)
        if callable(action):
            self._comboBox.setCurrentIndex(self._indexOf(self._nodeID))
            action()

    def choose(self, text: str) -> None:
        """Choose an entry of the list as a user does: a node, or what is to be done with one."""
        self._rebuild()  # the application follows every change of a name
        index = self._comboBox.findText(text)
        if index < 0:
            texts = [self._comboBox.itemText(each) for each in range(self._comboBox.count)]
            raise ValueError(f"The list has no '{text}' among {texts}")
        self._comboBox.setCurrentIndex(index)
        self._comboBox.activated.emit(index)

    def addNode(self, nodeType: str | None = None) -> Any:
        kind = nodeType or self.nodeTypes[0]
        name = self._scene.GenerateUniqueName(self.baseName or _label(kind))
        node = self._scene.AddNewNodeByClass(kind, name)
        self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            name = qt.QInputDialog.getText(self, "Rename", "New name:", qt.QLineEdit.Normal, node.GetName())
            node.SetName(name or node.GetName())
            self._rebuild()

    def removeCurrentNode(self) -> None:
        if self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._nodeID) if self._scene is not None and self._nodeID else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, nodeID: str) -> None:
        if self._scene is not None:
            self._comboBox.setCurrentIndex(self._indexOf(nodeID) if nodeID else (0 if self.noneEnabled else -1))

    def nodeCount(self) -> int:
        return len(self._nodes())

    currentNodeID = qt.Property(str, lambda self: self._nodeID or "", setCurrentNodeID)


def _label(kind: str) -> str:
    return kind.removeprefix("vtkMRML").removesuffix("Node")


@qt.standIn
class qMRMLSegmentationShow3DButton(ctk.ctkMenuButton):
    """Makes and shows closed surfaces of a segmentation, or removes them; is down while there are any.

    It can be pressed while there is a segment, and sets which representation 2D and 3D views show. Its menu turns the
    smoothing of surfaces on and off.
    """

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._segmentation, self._observations = None, []
        self.text = "Show 3D"
        self.setCheckable(True)
        menu = qt.QMenu("Show 3D", self)
        self._smoothing = menu.addAction("Surface smoothing")
        self._smoothing.setCheckable(True)
        self._smoothing.toggled.connect(self._onSmoothing)
        self.setMenu(menu)
        self.setEnabled(False)
        self.toggled.connect(self._onToggled)

    def setSegmentationNode(self, segmentation: Any) -> None:
        if self._segmentation is segmentation:
            return
        for observation in self._observations:
            self._segmentation.RemoveObserver(observation)
        self._segmentation, self._observations = segmentation, []
        if segmentation is not None:
            kinds = slicer.vtkSegmentation
            events = (vtk.vtkCommand.ModifiedEvent, kinds.SegmentAdded, kinds.SegmentRemoved)
            events += (kinds.ContainedRepresentationNamesModified,)
            self._observations = [segmentation.AddObserver(event, self._onSegmentation) for event in events]
        self._update()

    def segmentationNode(self) -> Any:
        return self._segmentation

    def _onSegmentation(self, _caller: Any, _event: str) -> None:
        self._update()

    def _update(self) -> None:
        segmentation = None if self._segmentation is None else self._segmentation.GetSegmentation()
        if segmentation is None:
            self.setEnabled(False)
            return
        isSource = segmentation.GetSourceRepresentationName() == _surfaces()
        self.setEnabled(segmentation.GetNumberOfSegments() > 0 and not isSource)
        for widget, isDown in ((self, self._hasSurfaces()), (self._smoothing, self._smoothingFactor() >= 0)):
            wasBlocked = widget.blockSignals(True)
            widget.setChecked(isDown)
            widget.blockSignals(wasBlocked)

    def _hasSurfaces(self) -> bool:
        return bool(self._segmentation.GetSegmentation().ContainsRepresentation(_surfaces()))

    def _smoothingFactor(self) -> float:
        return float(self._segmentation.GetSegmentation().GetConversionParameter(_SMOOTHING) or 0)

    def _onSmoothing(self, isOn: bool) -> None:
        factor = (abs(self._smoothingFactor()) or 0.5) * (1 if isOn else -1)
        self._segmentation.GetSegmentation().SetConversionParameter(_SMOOTHING, str(factor))
        if self._hasSurfaces():
            self._segmentation.GetSegmentation().CreateRepresentation(_surfaces(), True)
            self._segmentation.Modified()

    def _onToggled(self, isDown: bool) -> None:
        if self._segmentation is None:
            return
        segmentation, display = self._segmentation.GetSegmentation(), self._segmentation.GetDisplayNode()
        if not isDown:
            segmentation.RemoveRepresentation(_surfaces())
        elif segmentation.CreateRepresentation(_surfaces()) and display is not None:
            display.SetPreferredDisplayRepresentationName3D(_surfaces())
            labelmap = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
            if segmentation.ContainsRepresentation(labelmap):
                display.SetPreferredDisplayRepresentationName2D(labelmap)


_SMOOTHING = "Smoothing factor"


def _surfaces() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()


for _class in (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentationShow3DButton):
    setattr(slicer, _class.__name__, _class)
    qt.QUiLoader.customClasses[_class.__name__] = _class
