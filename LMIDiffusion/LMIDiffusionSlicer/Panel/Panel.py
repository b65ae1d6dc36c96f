"""The panel: sections that show the parameters of the scene and change them."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..Logic.LMIDiffusionLogic import LMIDiffusionLogic
from ..Scene import Geometry
from ..Scene.ParameterNode import LMIDiffusionParameterNode
from ..Scene.Request import TranslationRequest
from .CheckpointSection import CheckpointSection
from .DeviceSection import DeviceSection
from .InputSection import InputSection
from .OutputSection import OutputSection
from .QualitySection import QualitySection
from .ResultSection import ResultSection
from .RunSection import RunSection


class Panel(VTKObservationMixin):
    """
    :param ui: the widgets of `LMIDiffusion.ui` by name.
    :param isShown: tells whether the user has the module open.
    """

    def __init__(self, ui, logic: LMIDiffusionLogic, *, isShown: Callable[[], bool]):
        VTKObservationMixin.__init__(self)
        self.ui = ui
        self.logic = logic
        self.parameterNode: LMIDiffusionParameterNode | None = None
        self._isShown = isShown
        self._guiTag = None
        self._isUpdating = False
        result = ResultSection(ui, isShown=isShown, showMessage=lambda text: self.run.showMessage(text))
        self.run = RunSection(ui, logic, result, request=self.request, onStarted=lambda: self._checkpoints.keepPath())
        self._checkpoints = CheckpointSection(ui, self.run.showMessage)
        devices = DeviceSection(ui, self.run.showMessage)
        inputs = InputSection(ui, isUpdating=lambda: self._isUpdating)
        # In the order of their updates: the first set what the others show.
        self._sections = (QualitySection(), inputs, OutputSection(ui), self._checkpoints, devices, result, self.run)
        self._observeScene()
        if isShown():  # it has been loaded again
            self.enter()

    def _observeScene(self) -> None:
        scene = slicer.mrmlScene
        for event in (scene.StartCloseEvent, scene.StartImportEvent):
            self.addObserver(scene, event, self._onSceneStart)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onSceneEnd)

    def close(self) -> None:
        self.logic.cancel()
        self.logic.endWorker()
        self._setParameterNode(None)
        for section in self._sections:
            section.stop()
        self.removeObservers()

    def enter(self) -> None:
        """Read the scene when the user opens the module, and choose a source if there is none yet."""
        self._connectScene()
        if self.parameterNode.sourceVolume is None:
            self.parameterNode.sourceVolume = _firstVolume()
        self._checkpoints.refresh()
        self._onParametersChanged()  # a result that has come meanwhile is shown now

    def chooseSource(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Choose a source as if in the panel's list."""
        self._connectScene()
        self.parameterNode.sourceVolume = volume

    def _connectScene(self) -> None:
        if self.parameterNode is None:
            self._setParameterNode(self.logic.getParameterNode())

    def _onSceneStart(self, _caller, _event) -> None:
        self._setParameterNode(None)

    def _onSceneEnd(self, _caller, _event) -> None:
        self.logic.readParametersAnew()
        # A scene that is loaded while another module is shown is none of the panel's business yet.
        if self._isShown():
            self.enter()
        elif self.logic.isRunning:  # its result will need the parameter node
            self._connectScene()

    def _setParameterNode(self, parameterNode: LMIDiffusionParameterNode | None) -> None:
        if self.parameterNode is not None:
            self.parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self.parameterNode = parameterNode
        # Values as they are in the scene: a preset in it has been applied, its views are shown already.
        for section in self._sections:
            section.setParameterNode(parameterNode)
        if parameterNode is not None:
            self._guiTag = parameterNode.connectParametersToGui(self._widgetsByParameter())
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
            self._onParametersChanged()

    def _widgetsByParameter(self) -> dict:
        # Not connectGui: it does not always return the tag that disconnectGui needs.
        named = ((widget.property("SlicerParameterName"), widget) for widget in vars(self.ui).values())
        return {name: widget for name, widget in named if name}

    def _onParametersChanged(self, _caller=None, _event=None) -> None:
        if self._isUpdating or self.parameterNode is None:
            return
        self._isUpdating = True
        try:
            self._limitSlices()
            for section in self._sections:
                section.update()
        finally:
            self._isUpdating = False

    def _limitSlices(self) -> None:
        """Keep the slice range inside the volume and in order; at first it is the whole volume."""
        node = self.parameterNode
        for spinBox in (self.ui.firstSliceSpinBox, self.ui.lastSliceSpinBox):
            spinBox.setEnabled(node.limitSlices)
        if self.request().sourceProblem() is not None:
            return
        last = Geometry.axialSliceCount(node.sourceVolume) - 1
        for spinBox in (self.ui.firstSliceSpinBox, self.ui.lastSliceSpinBox):
            spinBox.setMaximum(last)
        if not node.limitSlices:
            node.firstSlice, node.lastSlice = 0, last
        node.firstSlice = min(node.firstSlice, last)
        node.lastSlice = min(max(node.firstSlice, node.lastSlice), last)

    def request(self) -> TranslationRequest:
        """Return the request that the panel is set to."""
        node = self.parameterNode
        return TranslationRequest(
            node.sourceVolume,
            outputVolume=node.outputVolume,
            outputSegmentation=node.outputSegmentation,
            uncertainty=node.uncertainty,
            outputUncertainty=node.uncertaintyVolume,
            draw=node.draw,
            outputDraw=node.drawVolume,
            brainMask=node.brainMask,
            findBrain=node.findBrain and node.brainMask is None,
            checkpoint=self._checkpoints.chosen(),
            sampler=node.sampler,
            steps=node.steps,
            samples=node.samples,
            seed=node.seed,
            clusters=node.clusters,
            slices=(node.firstSlice, node.lastSlice + 1) if node.limitSlices else None,
            device=node.device,
            batchSize=node.batchSize or None,
        )


def _firstVolume():
    """Return the first plain image: label maps, vector and diffusion volumes are scalar volumes to the scene too."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((volume for volume in volumes if volume.GetClassName() == "vtkMRMLScalarVolumeNode"), None)
