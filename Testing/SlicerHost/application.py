"""`slicer.app`, `slicer.modules` and reading and writing of files, over the real scene, logics and storage nodes."""

import os
import sys
import tempfile
import types

import qt
import slicer
import vtk

_LOGICS = ("Terminologies", "SubjectHierarchy", "Volumes", "Segmentations", "Data", "Models")


class CoreIOManager:
    """Reads and writes volumes, segmentations and scenes with their real storage nodes."""

    def fileType(self, name):
        return "SceneFile" if str(name).endswith((".mrml", ".mrb")) else "VolumeFile"

    def loadNodes(self, fileType, properties, collection=None, messages=None):
        path = str(properties["fileName"])
        if not os.path.isfile(path):
            if messages is not None:
                messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"No such file: {path}")
            return False
        if fileType == "SceneFile":
            return self._loadScene(path, properties.get("clear", False))
        node = self._loadNode(fileType, path, properties)
        if node is not None and collection is not None:
            collection.AddItem(node)
        return node is not None

    def _loadScene(self, path, clear):
        scene = slicer.mrmlScene
        if clear:
            scene.Clear(False)
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, False))
        scene.SetURL(path)
        return bool(scene.Import())

    def _loadNode(self, fileType, path, properties):
        name = properties.get("name") or os.path.basename(path).split(".")[0]
        if fileType != "VolumeFile":
            raise NotImplementedError(f"The host reads no {fileType}")
        labelmap = 1 if properties.get("labelmap") else 0
        return slicer.app.logics["Volumes"].AddArchetypeVolume(path, name, labelmap)

    def saveNodes(self, fileType, properties, messages=None):
        path = str(properties["fileName"])
        if "nodeID" not in properties:
            return self._saveScene(path)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None and not node.AddDefaultStorageNode(path):
            return False
        node.GetStorageNode().SetFileName(path)
        return bool(node.GetStorageNode().WriteData(node))

    def _saveScene(self, path):
        if path.endswith(".mrb"):
            return bool(slicer.mrmlScene.WriteToMRB(path))
        slicer.mrmlScene.SetURL(path)
        return bool(slicer.mrmlScene.Commit())

    def fileWriterFileType(self, node):
        return node.GetClassName()


class Module:
    """What `slicer.modules.<name>` is."""

    def __init__(self, name, *, logic=None, path=""):
        self.name, self.path, self.title = name, path, name
        self.categories, self.dependencies, self.contributors = [], [], []
        self.helpText = self.acknowledgementText = ""
        self._logic, self.widget, self.representation = logic, None, None

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        return self.representation


class Application(qt.QObject):
    startupCompleted = qt.Signal()
    aboutToQuit = qt.Signal()

    def __init__(self):
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="SlicerHost-")
        self.temporaryPath = os.path.join(self._folder.name, "Slicer")
        os.mkdir(self.temporaryPath)
        self.slicerHome = self._folder.name
        self.logics = {}
        self._ioManager = CoreIOManager()
        self._layoutManager = None
        self._makeScene()
        self._makeLogics()
        self._makeDataIO()
        self._makeSubjectHierarchy()

    def _makeScene(self):
        self._scene = slicer.mrmlScene = slicer.vtkMRMLScene()
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logic.SetMRMLScene(self._scene)
        self._scene.AddNewNodeByClass("vtkMRMLCrosshairNode").SetCrosshairName("default")
        self._logic.SetSliceLogics(vtk.vtkCollection())
        self._logic.SetViewLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self._scene, True)

    def _makeLogics(self):
        colors = self._logic.GetColorLogic()
        colors.SetMRMLScene(self._scene)
        colors.AddDefaultColorNodes()
        self._addLogic("Colors", colors)
        vtk.vtkObject.GlobalWarningDisplayOff()  # the files of terminologies are not in the wheel
        for name in _LOGICS:
            logic = _logicClass(name)()
            logic.SetMRMLScene(self._scene)
            logic.SetMRMLApplicationLogic(self._logic)
            self._addLogic(name, logic)
        vtk.vtkObject.GlobalWarningDisplayOn()

    def _addLogic(self, name, logic):
        self._logic.SetModuleLogic(name, logic)
        self.logics[name] = logic

    def _makeDataIO(self):
        """Without it no scene bundle can be read."""
        self._remoteIO = slicer.vtkMRMLRemoteIOLogic()
        self._dataIO = slicer.vtkDataIOManagerLogic()
        for logic in (self._remoteIO, self._dataIO):
            logic.SetMRMLScene(self._scene)
            logic.SetMRMLApplicationLogic(self._logic)
        self._remoteIO.GetCacheManager().SetRemoteCacheDirectory(self.temporaryPath)
        self._dataIO.SetAndObserveDataIOManager(self._remoteIO.GetDataIOManager())
        self._remoteIO.AddDataIOToScene()

    def _makeSubjectHierarchy(self):
        """In the application, plugins give every shown node an item."""
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        self._scene.AddObserver(self._scene.NodeAddedEvent, self._onNodeAdded)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _caller, _event, node):
        kinds = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTransformNode", "vtkMRMLTableNode")
        if self._scene.IsImporting() or node.GetHideFromEditors() or not any(node.IsA(kind) for kind in kinds):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    def mrmlScene(self):
        return self._scene

    def applicationLogic(self):
        return self._logic

    def coreIOManager(self):
        return self._ioManager

    def ioManager(self):
        return self._ioManager

    def layoutManager(self):
        """None, as without a main window."""
        return self._layoutManager

    def testingEnabled(self):
        return True

    def commandOptions(self):
        return types.SimpleNamespace(noMainWindow=True, testingEnabled=True)

    def processEvents(self):
        qt.QApplication.instance().processEvents()

    def setOverrideCursor(self, cursor):
        qt.QApplication.instance().setOverrideCursor(cursor)

    def restoreOverrideCursor(self):
        qt.QApplication.instance().restoreOverrideCursor()

    def pauseRender(self):
        pass

    def resumeRender(self):
        pass

    def startupEnvironment(self):
        return qt.QProcessEnvironment.systemEnvironment()

    def settings(self):
        return qt.QSettings()

    def userSettings(self):
        return qt.QSettings()


def _logicClass(name):
    """`vtkSlicerVolumesModuleLogic` is a module of Python, `vtkSlicerVolumesLogic` the class; elsewhere it is turned."""
    candidates = (getattr(slicer, f"vtkSlicer{name}{suffix}", None) for suffix in ("ModuleLogic", "Logic"))
    return next(each for each in candidates if isinstance(each, type))


def install():
    """Make `slicer.app` and `slicer.modules`; returns the application."""
    qt.QCoreApplication.setOrganizationName("NA-MIC")
    qt.QCoreApplication.setApplicationName("SlicerHost")
    slicer.modules = sys.modules["slicer.modules"] = types.ModuleType("slicer.modules")
    slicer.moduleNames = types.ModuleType("slicer.moduleNames")
    slicer.app = Application()
    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, slicer.app.slicerHome)
    for name, logic in slicer.app.logics.items():
        setattr(slicer.modules, name.lower(), Module(name, logic=logic))
    return slicer.app
