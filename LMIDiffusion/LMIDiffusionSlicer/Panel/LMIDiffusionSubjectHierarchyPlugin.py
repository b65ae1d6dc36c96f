"""*Translate with LMIDiffusion* in the context menu of volumes in the subject hierarchy.

Slicer loads this file by its path, as a module of its own: imports are absolute.
"""

import qt
import slicer
from slicer.i18n import tr as _
from SubjectHierarchyPlugins import AbstractScriptedSubjectHierarchyPlugin


class LMIDiffusionSubjectHierarchyPlugin(AbstractScriptedSubjectHierarchyPlugin):
    filePath = __file__

    def __init__(self, scriptedPlugin):
        scriptedPlugin.name = "LMIDiffusion"
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)
        self.translateAction = qt.QAction(_("Translate with LMIDiffusion..."), scriptedPlugin)
        self.translateAction.connect("triggered()", self.onTranslate)

    def canAddNodeToSubjectHierarchy(self, _node, _parentItemID):
        return 0.0

    def canOwnSubjectHierarchyItem(self, _itemID):
        """Own no item: the plugin offers an action alone."""
        return 0.0

    def roleForPlugin(self):
        return "N/A"

    def itemContextMenuActions(self):
        return [self.translateAction]

    def sceneContextMenuActions(self):
        return []

    def showContextMenuActionsForItem(self, itemID):
        self.translateAction.visible = _sourceOf(itemID) is not None

    def onTranslate(self):
        volume = _sourceOf(slicer.qSlicerSubjectHierarchyPluginHandler.instance().currentItem())
        if volume is not None:
            slicer.util.selectModule("LMIDiffusion")
            slicer.modules.lmidiffusion.widgetRepresentation().self().panel.chooseSource(volume)


def _sourceOf(itemID):
    """Return the plain image of an item, or None."""
    node = slicer.mrmlScene.GetSubjectHierarchyNode().GetItemDataNode(itemID) if itemID else None
    return node if node is not None and node.GetClassName() == "vtkMRMLScalarVolumeNode" else None
