"""Slicer module that translates MR volumes of the head to another contrast and segments them.

This file imports nothing of LMIDiffusionLib: `LMIDiffusion` first puts its folder on the path, when Slicer makes it.
"""

import sys
import unittest

import slicer
from LMIDiffusionSlicer import preferOwnLibrary
from LMIDiffusionSlicer.Base.Paths import SUBJECT_HIERARCHY_PLUGIN
from LMIDiffusionSlicer.Scene import SampleScans
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

_DOCUMENTATION = "https://github.com/lmidiffusion/SlicerLMIDiffusion/blob/main/docs/slicer.md"


def __getattr__(name):
    """Return `LMIDiffusionLogic`, which scripts look for in this module."""
    if name != "LMIDiffusionLogic":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from LMIDiffusionSlicer.Logic.LMIDiffusionLogic import LMIDiffusionLogic

    return LMIDiffusionLogic


class LMIDiffusion(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("LMIDiffusion")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = ["Segmentations", "Sequences"]
        self.parent.contributors = [_("the LMIDiffusion contributors")]
        self.parent.helpText = _(
            "Translates an MR volume of the head (PDw, T2w, FLAIR, ...) into a T1w-like one on the same grid, and"
            " segments it. The model has been trained on T1w scans alone. Choose a source volume and press Translate;"
            " the sample scan is a good first try. For research only: a translation may miss lesions or invent them,"
            " and must not be used for diagnosis or treatment."
        ) + _('<p>See the <a href="{address}">documentation</a>.</p>').format(address=_DOCUMENTATION)
        self.parent.acknowledgementText = _(
            "An independent implementation of: Wang Z, Yang Y, Chen Y, Yuan T, Sermesant M, Delingette H, Wu O."
            " Mutual Information Guided Diffusion for Zero-Shot Cross-Modality Medical Image Translation. IEEE"
            " Transactions on Medical Imaging, 2024, doi:10.1109/TMI.2024.3382043. Please cite it. Sample scans: SRI24"
            " atlas (CC BY-SA 3.0) and the multiple sclerosis data set of the University of Ljubljana (CC BY)."
        )
        preferOwnLibrary()
        slicer.app.connect("startupCompleted()", SampleScans.registerSamples)

    def setup(self):
        """Offer *Translate with LMIDiffusion* in the subject hierarchy; Slicer calls this once, at its start."""
        plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
        plugin.setPythonSource(SUBJECT_HIERARCHY_PLUGIN)


class LMIDiffusionWidget(ScriptedLoadableModuleWidget):
    """Shell that Slicer calls; `Panel` is the panel itself."""

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/LMIDiffusion.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        from LMIDiffusionSlicer.Logic.LMIDiffusionLogic import LMIDiffusionLogic
        from LMIDiffusionSlicer.Panel.Panel import Panel

        self.logic = LMIDiffusionLogic()
        self.panel = Panel(self.ui, self.logic, isShown=lambda: self.parent.isEntered)

    def cleanup(self):
        """End all that runs, before the application quits or the module is loaded again."""
        self.panel.close()

    def enter(self):
        self.panel.enter()

    def exit(self):
        pass

    def onReload(self):
        """Load the module's and the library's packages again too, after ending what runs with the old ones."""
        self.logic.cancel()
        self.logic.endWorker()
        for name in list(sys.modules):
            if name.partition(".")[0] in ("LMIDiffusionSlicer", "LMIDiffusionLib"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class LMIDiffusionTest(ScriptedLoadableModuleTest):
    """Runs the tests of `SelfTest`; *Reload and Test* and ctest find this class by its name."""

    def runTest(self):
        """Run the tests through unittest, which can skip some; the method of the base class cannot."""
        from LMIDiffusionSlicer.Logic.SelfTest import SelfTest

        suite = unittest.defaultTestLoader.loadTestsFromTestCase(SelfTest)
        result = unittest.TextTestRunner(verbosity=2).run(suite)
        self.assertTrue(result.wasSuccessful())
