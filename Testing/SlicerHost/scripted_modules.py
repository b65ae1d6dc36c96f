"""The base classes of scripted modules, as `slicer.ScriptedLoadableModule`, and translation, as `slicer.i18n`."""

import os
import sys
import types
import unittest

import slicer


class ScriptedLoadableModule:
    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__

    def resourcePath(self, name):
        return _resourcePath(self.parent.path, name)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Widget")
        if parent is None:
            raise NotImplementedError("The host makes a module's widget in a parent of its own only")
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, name):
        return _resourcePath(slicer.util.modulePath(self.moduleName), name)

    def setup(self):
        pass

    def cleanup(self):
        pass

    def enter(self):
        pass

    def exit(self):
        pass

    def onReload(self):
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        return node if node is not None else self._createParameterNode()

    def _createParameterNode(self):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(self.moduleName)
        node.SetModuleName(self.moduleName)
        node.SetName(self.moduleName)
        return slicer.mrmlScene.AddNode(node)


class ScriptedLoadableModuleTest(unittest.TestCase):
    """`runTest` runs every method whose name starts with test, as Slicer 5.8 and newer do."""

    def __init__(self, methodName="runTest"):
        super().__init__(methodName)

    def runTest(self):
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(type(self))
        result = unittest.TextTestRunner(verbosity=2).run(suite)
        if not result.wasSuccessful():
            raise AssertionError(f"{len(result.failures) + len(result.errors)} self-tests failed")
        return result


def tr(text):
    return text


def translate(_context, text):
    return text


def _resourcePath(modulePath, name):
    return os.path.join(os.path.dirname(modulePath), "Resources", name)


def install():
    """Make both importable from the package slicer."""
    own = types.ModuleType("slicer.ScriptedLoadableModule")
    for each in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(own, each.__name__, each)
    internationalization = types.ModuleType("slicer.i18n")
    internationalization.tr, internationalization.translate = tr, translate
    for name, module in (("ScriptedLoadableModule", own), ("i18n", internationalization)):
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
