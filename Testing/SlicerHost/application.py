"""`slicer.app`: the application object, over the real scene and logics."""

import importlib.metadata
import os
import tempfile
from typing import Any

import files
import modules
import packages
import qt
import slicer
import subject_hierarchy
import vtk

_LOGICS = ("Terminologies", "SubjectHierarchy", "Volumes", "Segmentations", "Data", "Models", "Sequences")


@qt.standIn
class qSlicerApplication(qt.QObject):
    startupCompleted = qt.Signal()
    aboutToQuit = qt.Signal()

    applicationName = "Slicer"
    majorVersion, minorVersion = map(int, importlib.metadata.version("slicer-core").split(".")[:2])

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="SlicerHost-")
        self._temporaryPath = self._makeFolder("Slicer")
        self._isTesting = True
        self._renderingPauses = 0
        self._layoutManager = None
        self._scene = slicer.mrmlScene = slicer.vtkMRMLScene()
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logics: dict[str, Any] = {}
        self._prepareScene()
        self._makeLogics()
        self._makeDataIO()
        subject_hierarchy.install(self._scene)
        subject_hierarchy.installPlugins()
        modules.install(self._logics)
        self._moduleManager = modules.ModuleManager()
        self._ioManager = files.CoreIOManager()
        self._extensions = packages.ExtensionsManagerModel()

    def _makeFolder(self, name: str) -> str:
        path = os.path.join(self._folder.name, name)
        os.mkdir(path)
        return path

    def _prepareScene(self) -> None:
        self._logic.SetMRMLScene(self._scene)
        self._scene.AddNewNodeByClass("vtkMRMLCrosshairNode").SetCrosshairName("default")
        self._logic.SetSliceLogics(vtk.vtkCollection())
        self._logic.SetViewLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self._scene, True)

    def _makeLogics(self) -> None:
        colors = self._logic.GetColorLogic()
        colors.SetMRMLScene(self._scene)
        colors.AddDefaultColorNodes()
        self._addLogic("Colors", colors)
        vtk.vtkObject.GlobalWarningDisplayOff()  # the files of terminologies do not come with the libraries
        for name in _LOGICS:
            logic = _logicClass(name)()
            logic.SetMRMLScene(self._scene)
            logic.SetMRMLApplicationLogic(self._logic)
            self._addLogic(name, logic)
        vtk.vtkObject.GlobalWarningDisplayOn()

    def _addLogic(self, name: str, logic: Any) -> None:
        self._logic.SetModuleLogic(name, logic)
        self._logics[name] = logic

    def _makeDataIO(self) -> None:
        """Without it no scene bundle can be read."""
        self._remoteIO = slicer.vtkMRMLRemoteIOLogic()
        self._dataIO = slicer.vtkDataIOManagerLogic()
        for logic in (self._remoteIO, self._dataIO):
            logic.SetMRMLScene(self._scene)
            logic.SetMRMLApplicationLogic(self._logic)
        self._remoteIO.GetCacheManager().SetRemoteCacheDirectory(self._makeFolder("cache"))
        self._dataIO.SetAndObserveDataIOManager(self._remoteIO.GetDataIOManager())
        self._remoteIO.AddDataIOToScene()

    def _setTemporaryPath(self, path: str) -> None:
        self._temporaryPath = path

    temporaryPath = qt.Property(str, lambda self: self._temporaryPath, _setTemporaryPath)
    slicerHome = qt.Property(str, lambda self: self._folder.name)
    cachePath = qt.Property(str, lambda self: os.path.join(self._folder.name, "cache"))
    slicerUserSettingsFilePath = qt.Property(str, lambda self: qt.QSettings().fileName())

    def mrmlScene(self) -> Any:
        return self._scene

    def applicationLogic(self) -> Any:
        return self._logic

    def coreIOManager(self) -> files.CoreIOManager:
        return self._ioManager

    def ioManager(self) -> files.CoreIOManager:
        return self._ioManager

    def extensionsManagerModel(self) -> packages.ExtensionsManagerModel:
        return self._extensions

    def moduleManager(self) -> modules.ModuleManager:
        return self._moduleManager

    def layoutManager(self) -> Any:
        """None, as without a main window, until `host.showViews`."""
        return self._layoutManager

    def translate(self, context: str, text: str) -> str:
        """Return the text, as without a language pack."""
        return text

    def testingEnabled(self) -> bool:
        return self._isTesting

    def topLevelWidgets(self) -> list[Any]:
        return qt.QApplication.instance().topLevelWidgets()

    def processEvents(self, flags: Any = None) -> None:
        if flags is None:
            qt.QApplication.instance().processEvents()
        else:
            qt.QApplication.instance().processEvents(flags)

    def setOverrideCursor(self, cursor: Any) -> None:
        qt.QApplication.instance().setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        qt.QApplication.instance().restoreOverrideCursor()

    def pauseRender(self) -> None:
        self._renderingPauses += 1

    def resumeRender(self) -> None:
        if self._renderingPauses == 0:
            raise RuntimeError("resumeRender was called more often than pauseRender")
        self._renderingPauses -= 1

    def isRenderPaused(self) -> bool:
        return self._renderingPauses > 0

    def startupEnvironment(self) -> Any:
        return qt.QProcessEnvironment.systemEnvironment()

    def clipboard(self) -> Any:
        return qt.QApplication.clipboard()

    def settings(self) -> Any:
        return qt.QSettings()

    def userSettings(self) -> Any:
        return qt.QSettings()

    def restart(self) -> None:
        raise NotImplementedError("The host does not restart: replace this function in the test")

    def close(self) -> None:
        """Remove the folders that the host has made."""
        self._folder.cleanup()


def _logicClass(name: str) -> type:
    """Return the class of a logic; of its two names, with and without *Module*, one is a module of Python."""
    candidates = (getattr(slicer, f"vtkSlicer{name}{suffix}", None) for suffix in ("ModuleLogic", "Logic"))
    found = next((each for each in candidates if isinstance(each, type)), None)
    if found is None:
        raise NotImplementedError(f"slicer-core has no logic of the module {name}")
    return found


def install() -> None:
    """Make `slicer.app`, `slicer.mrmlScene` and `slicer.modules`."""
    qt.QCoreApplication.setOrganizationName("NA-MIC")
    qt.QCoreApplication.setApplicationName("SlicerHost")
    slicer.app = qSlicerApplication()
    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, slicer.app.slicerHome)
