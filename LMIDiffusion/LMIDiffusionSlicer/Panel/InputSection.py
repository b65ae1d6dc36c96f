"""The panel's inputs: the source and its frames, the brain mask, the sample scan."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from ..Scene import Geometry, SampleScans
from ..Scene.Request import TranslationRequest
from ..Scene.Sequences import SourceSequence


class InputSection:
    """
    :param isUpdating: tells whether the panel is being set to the parameters, so that no signal is a user's choice.
    """

    def __init__(self, ui, *, isUpdating: Callable[[], bool]):
        self._ui = ui
        self._isUpdating = isUpdating
        self._parameterNode = None
        ui.sampleButton.connect("clicked()", self._onSample)
        ui.brainMaskSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onMaskChosen)

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode

    def stop(self) -> None:
        pass

    def update(self) -> None:
        node = self._parameterNode
        problem = TranslationRequest(node.sourceVolume).sourceProblem()
        self._ui.volumeInfoLabel.text = problem or Geometry.describeVolume(node.sourceVolume)
        self._ui.brainMaskSelector.setCurrentNode(node.brainMask)
        self._ui.findBrainCheckBox.setEnabled(node.brainMask is None)
        self._ui.clustersComboBox.setEnabled(node.brainMask is None and not node.findBrain)
        self._showFrames()

    def _showFrames(self) -> None:
        source = SourceSequence.showing(self._parameterNode.sourceVolume)
        self._ui.allFramesCheckBox.setVisible(source is not None)
        if source is not None:
            self._ui.allFramesCheckBox.text = _("All {count} frames of the sequence").format(count=source.frameCount)

    def _onMaskChosen(self, mask) -> None:
        if self._parameterNode is not None and not self._isUpdating():
            self._parameterNode.brainMask = mask

    def _onSample(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The sample scan could not be loaded."), waitCursor=True):
            volume, mask = SampleScans.loadPDwSample()
            self._parameterNode.sourceVolume = volume
            self._parameterNode.brainMask = mask
            slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=True)
