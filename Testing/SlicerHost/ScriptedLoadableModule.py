"""`slicer.ScriptedLoadableModule`: the base classes of a scripted module."""

import importlib
import os
import unittest
from typing import Any

import qt
import slicer


class ScriptedLoadableModule:
    """
    :param parent: the module as `slicer.modules` has it.
    """

    def __init__(self, parent: Any):
        self.parent = parent
        self.moduleName = type(self).__name__
        self._setIcon()
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def _setIcon(self) -> None:
        icons = [self.resourcePath(f"Icons/{self.moduleName}{suffix}") for suffix in (".svg", ".png")]
        found = [path for path in icons if os.path.isfile(path)]
        if found:
            self.parent.icon = qt.QIcon(found[0])

    def resourcePath(self, name: str) -> str:
        return _resourcePath(self.parent.path, name)

    def runTest(self, msec: int = 100) -> None:
        """Run the class of self-tests as the module file defines it now: Reload may have brought a new one."""
        test = getattr(importlib.import_module(self.moduleName), f"{self.moduleName}Test")()
        test.messageDelay = msec
        test.runTest()


class ScriptedLoadableModuleWidget:
    """
    :param parent: the widget that the module's own widgets go into.
    """

    def __init__(self, parent: Any = None):
        if parent is None:
            raise NotImplementedError("The host makes a module's widget in a given parent only")
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, name: str) -> str:
        return _resourcePath(slicer.util.modulePath(self.moduleName), name)

    def setup(self) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def enter(self) -> None:
        pass

    def exit(self) -> None:
        pass

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def onReloadAndTest(self) -> None:
        self.onReload()
        slicer.selfTests[self.moduleName]()


class ScriptedLoadableModuleLogic:
    isSingletonParameterNode = True

    def __init__(self, parent: Any = None):
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        if not self.isSingletonParameterNode:
            raise NotImplementedError("The host knows one parameter node for each module only")
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            return slicer.mrmlScene.AddNode(self.createParameterNode())
        node.SetAttribute("ModuleName", self.moduleName)  # closing the scene removes it
        return node

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """`runTest` runs every method whose name starts with test, as since Slicer 5.8."""

    messageDelay = 100

    def __init__(self, methodName: str = "runTest"):
        super().__init__(methodName)

    def delayDisplay(self, message: str, msec: int | None = None) -> None:
        slicer.util.delayDisplay(message, self.messageDelay if msec is None else msec)

    def runTest(self) -> None:
        """One test after the other, up to the first that raises anything, SkipTest too."""
        self.setUpClass()
        for name in unittest.defaultTestLoader.getTestCaseNames(type(self)):
            self.setUp()
            getattr(self, name)()
            self.tearDown()
        self.tearDownClass()


def _resourcePath(modulePath: str, name: str) -> str:
    return os.path.join(os.path.dirname(modulePath), "Resources", name)
