"""The panel: what the user chooses, read from the scene and kept in it."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ..Base.Presets import PRESETS, Preset, Quality
from ..Logic.LMIDiffusionLogic import LMIDiffusionLogic
from ..Scene import Geometry, SampleScans
from ..Scene.ParameterNode import LMIDiffusionParameterNode
from ..Scene.Request import TranslationRequest
from ..Scene.Sequences import SourceSequence
from .CheckpointSection import CheckpointSection
from .DeviceSection import DeviceSection
from .ResultSection import ResultSection
from .RunSection import RunSection

_OUTPUTS = ("outputVolume", "outputSegmentation", "uncertaintyVolume")


class Panel(VTKObservationMixin):
    """
    :param ui: the widgets of `LMIDiffusion.ui` by name.
    :param isShown: whether the user has the module open.
    """

    def __init__(self, ui, logic: LMIDiffusionLogic, *, isShown: Callable[[], bool]):
        VTKObservationMixin.__init__(self)
        self.ui = ui
        self.logic = logic
        self.parameterNode: LMIDiffusionParameterNode | None = None
        self._isShown = isShown
        self._guiTag = None
        self._isUpdating = False
        self._lostOutputs: list[str] = []
        self._preset: Quality | None = None
        result = ResultSection(ui)
        self.run = RunSection(ui, logic, result, request=self.request)
        self._checkpoints = CheckpointSection(ui, self.run.showMessage)
        self._devices = DeviceSection(ui, self.run.showMessage)
        self._sections = (self._checkpoints, self._devices, result, self.run)
        self._connect()
        if isShown():  # it has been loaded again
            self.enter()

    def _connect(self) -> None:
        scene = slicer.mrmlScene
        for event in (scene.StartCloseEvent, scene.StartImportEvent):
            self.addObserver(scene, event, self._onSceneStart)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onSceneEnd)
        # The first before the selectors, the second after them: they turn to another node when theirs is removed.
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved, priority=1.0)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved, priority=-1.0)
        self.ui.sampleButton.connect("clicked()", self._onSample)
        self.ui.brainMaskSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onMaskChosen)

    def close(self) -> None:
        self.logic.cancel()
        self.logic.endWorker()
        self._devices.stop()
        self._checkpoints.stop()
        self._setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """The user opens the module: read the scene, and choose a source if there is none yet."""
        self._connectScene()
        if self.parameterNode.sourceVolume is None:
            self.parameterNode.sourceVolume = _firstVolume()
        self._checkpoints.refresh()

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

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _caller, _event, node) -> None:
        if self.parameterNode is not None:
            self._lostOutputs = [name for name in _OUTPUTS if self.parameterNode.getValue(name) is node]

    def _onNodeRemoved(self, _caller, _event) -> None:
        for name in self._lostOutputs if self.parameterNode is not None else ():
            self.parameterNode.setValue(name, None)
        self._lostOutputs = []

    def _setParameterNode(self, parameterNode: LMIDiffusionParameterNode | None) -> None:
        if self.parameterNode is not None:
            self.parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self.parameterNode = parameterNode
        # Values as they are in the scene: a preset in it has been applied, its views are shown already.
        for section in self._sections:
            section.setParameterNode(parameterNode)
        if parameterNode is not None:
            self._preset = parameterNode.quality
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
            self._applyPreset()
            self._limitSlices()
            self._update()
        finally:
            self._isUpdating = False

    def _applyPreset(self) -> None:
        """A newly chosen preset sets what it stands for; setting that by hand makes the preset Custom."""
        node = self.parameterNode
        preset = PRESETS.get(node.quality)
        if preset is not None and node.quality != self._preset:
            node.sampler, node.steps, node.samples = preset.sampler, preset.steps, preset.samples
        elif preset is not None and preset != Preset(node.sampler, node.steps, node.samples):
            node.quality = Quality.CUSTOM
        self._preset = node.quality

    def _limitSlices(self) -> None:
        """Keep the slice range inside the volume and in order; at first it is the whole volume."""
        node = self.parameterNode
        if self.request().sourceProblem() is not None:
            return
        last = Geometry.axialSliceCount(node.sourceVolume) - 1
        for spinBox in (self.ui.firstSliceSpinBox, self.ui.lastSliceSpinBox):
            spinBox.setMaximum(last)
        if not node.limitSlices:
            node.firstSlice, node.lastSlice = 0, last
        node.firstSlice = min(node.firstSlice, last)
        node.lastSlice = min(max(node.firstSlice, node.lastSlice), last)

    def _update(self) -> None:
        """Show what the parameter node says."""
        node, request = self.parameterNode, self.request()
        for section in self._sections:
            section.update()
        self.ui.volumeInfoLabel.text = request.sourceProblem() or Geometry.describeVolume(request.sourceVolume)
        self.ui.brainMaskSelector.setCurrentNode(node.brainMask)
        self.ui.findBrainCheckBox.setEnabled(node.brainMask is None)
        self.ui.clustersComboBox.setEnabled(node.brainMask is None and not node.findBrain)
        self.ui.uncertaintySelector.setEnabled(node.uncertainty)
        self.ui.firstSliceSpinBox.setEnabled(node.limitSlices)
        self.ui.lastSliceSpinBox.setEnabled(node.limitSlices)
        self._showFrames()
        self._nameNewOutputs()

    def _showFrames(self) -> None:
        source = SourceSequence.of(self.parameterNode.sourceVolume)
        self.ui.allFramesCheckBox.setVisible(source is not None)
        if source is not None:
            self.ui.allFramesCheckBox.text = _("All {count} frames of the sequence").format(count=source.frameCount)

    def _nameNewOutputs(self) -> None:
        """What the selectors create is named after the source."""
        source = self.parameterNode.sourceVolume
        name = "" if source is None else _("{source} translated").format(source=source.GetName())
        for selector, what in (
            (self.ui.outputVolumeSelector, name),
            (self.ui.outputSegmentationSelector, _("{name} segmentation").format(name=name)),
            (self.ui.uncertaintySelector, _("{name} uncertainty").format(name=name)),
        ):
            selector.baseName = what if name else ""

    def request(self) -> TranslationRequest:
        """What the panel is set to."""
        node = self.parameterNode
        return TranslationRequest(
            node.sourceVolume,
            outputVolume=node.outputVolume,
            outputSegmentation=node.outputSegmentation,
            uncertainty=node.uncertainty,
            outputUncertainty=node.uncertaintyVolume,
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

    def _onMaskChosen(self, mask) -> None:
        if self.parameterNode is not None and not self._isUpdating:
            self.parameterNode.brainMask = mask

    def _onSample(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The sample scan could not be loaded."), waitCursor=True):
            volume, mask = SampleScans.loadPDwSample()
            self.parameterNode.sourceVolume = volume
            self.parameterNode.brainMask = mask
            slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=True)


def _firstVolume():
    """The first that can be a source: label maps, vector and diffusion volumes are scalar volumes to the scene too."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((volume for volume in volumes if volume.GetClassName() == "vtkMRMLScalarVolumeNode"), None)
