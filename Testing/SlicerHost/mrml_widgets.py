"""The qMRML widgets that the panel uses, connected to the real scene."""

import qt
import slicer


@qt.standIn
class qMRMLWidget(qt.QWidget):
    mrmlSceneChanged = qt.Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def setMRMLScene(self, scene):
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self):
        return self._scene


def _listProperty(propertyType, name, default):
    """A property of the node selector that decides what is in its list."""
    key = f"_{name}"

    def read(self):
        return vars(self).get(key, default)

    def write(self, value):
        vars(self)[key] = value
        self._rebuild()

    return qt.Property(propertyType, read, write)


@qt.standIn
class qMRMLNodeComboBox(qt.QWidget):
    """Selects a node; entries after the nodes create, rename and remove them."""

    currentNodeChanged = qt.Signal(object)
    currentNodeIDChanged = qt.Signal(str)
    nodeAddedByUser = qt.Signal(object)

    nodeTypes = _listProperty("QStringList", "nodeTypes", [])
    noneEnabled = _listProperty(bool, "noneEnabled", False)
    addEnabled = _listProperty(bool, "addEnabled", True)
    removeEnabled = _listProperty(bool, "removeEnabled", True)
    renameEnabled = _listProperty(bool, "renameEnabled", False)
    showChildNodeTypes = _listProperty(bool, "showChildNodeTypes", True)
    noneDisplay = _listProperty(str, "noneDisplay", "None")
    baseName = _listProperty(str, "baseName", "")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._observations, self._nodeID, self._isBuilding = None, [], None, False
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._comboBox = qt.QComboBox()
        self._comboBox.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        layout.addWidget(self._comboBox)
        self._comboBox.currentIndexChanged.connect(self._onIndexChanged)
        self._comboBox.activated.connect(self._onActivated)

    def setMRMLScene(self, scene):
        for observation in self._observations:
            self._scene.RemoveObserver(observation)
        self._scene, self._observations = scene, []
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
            self._observations = [scene.AddObserver(event, self._onScene) for event in events]
        self._rebuild()

    def mrmlScene(self):
        return self._scene

    def _onScene(self, _caller, _event):
        self._rebuild()

    def _accepts(self, node):
        if node.GetHideFromEditors():
            return False
        return any(
            node.GetClassName() == each or (self.showChildNodeTypes and node.IsA(each)) for each in self.nodeTypes
        )

    def _nodes(self):
        nodes = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._accepts(node)]

    def _rebuild(self):
        if self._scene is None or self._scene.IsClosing() or self._scene.IsImporting():
            return
        self._isBuilding = True
        self._comboBox.clear()
        if self.noneEnabled:
            self._comboBox.addItem(self.noneDisplay, None)
        for node in self._nodes():
            self._comboBox.addItem(node.GetName(), node.GetID())
        if self.addEnabled:
            self._comboBox.addItem("Create new...", "add")
        if self.renameEnabled:
            self._comboBox.addItem("Rename...", "rename")
        if self.removeEnabled:
            self._comboBox.addItem("Delete current", "remove")
        self._comboBox.setCurrentIndex(self._indexOf(self._nodeID))
        self._isBuilding = False
        self._onIndexChanged(self._comboBox.currentIndex)

    def _indexOf(self, nodeID):
        nodes = [node.GetID() for node in self._nodes()]
        if nodeID in nodes:
            return self._comboBox.findData(nodeID)
        if self.noneEnabled:
            return 0
        return self._comboBox.findData(nodes[0]) if nodes else -1

    def _onIndexChanged(self, index):
        nodeID = self._comboBox.itemData(index) if index >= 0 else None
        if self._isBuilding or nodeID in ("add", "rename", "remove") or nodeID == self._nodeID:
            return
        self._nodeID = nodeID
        self.currentNodeChanged.emit(self.currentNode())
        self.currentNodeIDChanged.emit(nodeID or "")

    def _onActivated(self, index):
        action = self._comboBox.itemData(index)
        if action == "add":
            self.addNode()
        elif action == "remove" and self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())
        elif action == "rename":
            raise NotImplementedError("The host has no dialog to rename a node")

    def addNode(self):
        nodeType = self.nodeTypes[0]
        name = self.baseName or nodeType.removeprefix("vtkMRML").removesuffix("Node")
        node = self._scene.AddNewNodeByClass(nodeType, self._scene.GenerateUniqueName(name))
        self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def currentNode(self):
        return self._scene.GetNodeByID(self._nodeID) if self._scene is not None and self._nodeID else None

    def setCurrentNode(self, node):
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, nodeID):
        if self._scene is not None:
            self._comboBox.setCurrentIndex(self._indexOf(nodeID) if nodeID else (0 if self.noneEnabled else -1))

    def nodeCount(self):
        return len(self._nodes())

    currentNodeID = qt.Property(str, lambda self: self._nodeID or "", setCurrentNodeID)


@qt.standIn
class qMRMLSegmentationShow3DButton(qt.QPushButton):
    """Makes and shows closed surfaces of a segmentation, or hides them."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._segmentation = None
        self.text = "Show 3D"
        self.setCheckable(True)
        self.setEnabled(False)
        self.toggled.connect(self._show)

    def setSegmentationNode(self, segmentation):
        self._segmentation = segmentation
        self.setEnabled(segmentation is not None)

    def segmentationNode(self):
        return self._segmentation

    def _show(self, shown):
        if shown:
            self._segmentation.CreateClosedSurfaceRepresentation()
        else:
            self._segmentation.RemoveClosedSurfaceRepresentation()


for _class in (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentationShow3DButton):
    setattr(slicer, _class.__name__, _class)
    qt.QUiLoader.customClasses[_class.__name__] = _class
