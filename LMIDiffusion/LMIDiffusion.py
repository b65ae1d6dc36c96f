"""Turns an MR volume of the head into one of another contrast, and segments it, in a process beside Slicer."""

import pathlib
import sys
import unittest
from collections.abc import Callable
from enum import Enum
from typing import Annotated, get_type_hints

import numpy as np
import slicer
import vtk
from LMIDiffusionSlicer import Dependencies, Geometry, SampleScans, Views
from LMIDiffusionSlicer.Checkpoints import findCheckpoints
from LMIDiffusionSlicer.CheckpointSection import CheckpointSection
from LMIDiffusionSlicer.Devices import AUTOMATIC
from LMIDiffusionSlicer.DeviceSection import DeviceSection
from LMIDiffusionSlicer.Errors import TranslationCancelled, TranslationError
from LMIDiffusionSlicer.Presets import PRESETS, Clusters, Preset, Quality, Sampler
from LMIDiffusionSlicer.Results import TranslationResult
from LMIDiffusionSlicer.ResultSection import ResultSection, ViewMode
from LMIDiffusionSlicer.TranslationRun import Progress, TranslationRequest, TranslationRun, TranslationSettings
from slicer import (
    vtkMRMLNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Decimals, SingleStep, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class LMIDiffusion(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("LMIDiffusion")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = []
        self.parent.contributors = [_("the LMIDiffusion contributors")]
        self.parent.helpText = _(
            "Translates an MR volume of the head (PDw, T2w, FLAIR, ...) into a T1w-like one on the same grid, and"
            " segments it. The model has been trained on T1w scans alone. Choose a source volume and press Translate;"
            " the sample scan is a good first try. For research only: a translation may miss lesions or invent them,"
            " and must not be used for diagnosis or treatment."
        )
        self.parent.acknowledgementText = _(
            "An independent implementation of: Wang Z, Yang Y, Chen Y, Yuan T, Sermesant M, Delingette H, Wu O."
            " Mutual Information Guided Diffusion for Zero-Shot Cross-Modality Medical Image Translation. IEEE"
            " Transactions on Medical Imaging, 2024, doi:10.1109/TMI.2024.3382043. Please cite it. Sample scans: SRI24"
            " atlas (CC BY-SA 3.0) and the multiple sclerosis data set of the University of Ljubljana (CC BY)."
        )
        slicer.app.connect("startupCompleted()", SampleScans.registerSamples)


_BALANCED = PRESETS[Quality.BALANCED]
# Without a step of its own, a ctkSliderWidget stops at whole numbers alone.
_Share = Annotated[float, WithinRange(0.0, 1.0), SingleStep(0.01), Decimals(2)]


@parameterNodeWrapper
class LMIDiffusionParameterNode:
    """All that is chosen in the panel; it is saved with the scene."""

    sourceVolume: vtkMRMLScalarVolumeNode
    brainMask: vtkMRMLNode  # a segmentation or a label map
    checkpoint: str = ""  # name in the list; empty for the default
    useCheckpointFile: bool = False
    checkpointFile: pathlib.Path
    outputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    uncertainty: bool = False
    uncertaintyVolume: vtkMRMLScalarVolumeNode
    quality: Quality = Quality.BALANCED
    sampler: Sampler = _BALANCED.sampler
    steps: Annotated[int, WithinRange(2, 5000)] = _BALANCED.steps
    samples: Annotated[int, WithinRange(1, 64)] = _BALANCED.samples
    seed: Annotated[int, WithinRange(0, 2**31 - 1)] = 0
    clusters: Clusters = Clusters.FIVE
    limitSlices: bool = False
    firstSlice: Annotated[int, WithinRange(0, 9999)] = 0
    lastSlice: Annotated[int, WithinRange(0, 9999)] = 0
    device: str = AUTOMATIC
    batchSize: Annotated[int, WithinRange(0, 512)] = 0  # 0 fits the device
    viewMode: ViewMode = ViewMode.BLENDED
    swapped: bool = False
    translationOpacity: _Share = 1.0
    segmentationOpacity: _Share = 0.6
    # What the Result part shows: the last translation or preview.
    resultVolume: vtkMRMLScalarVolumeNode
    resultSegmentation: vtkMRMLSegmentationNode
    # A preview never touches the chosen outputs.
    previewVolume: vtkMRMLScalarVolumeNode
    previewSegmentation: vtkMRMLSegmentationNode


_OUTPUTS = ("outputVolume", "outputSegmentation", "uncertaintyVolume")


class LMIDiffusionWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._run = None
        self._isInstalling = False
        self._isUpdating = False
        self._lostOutputs = []
        self._preset = None
        self._checked = (None, None)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/LMIDiffusion.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = LMIDiffusionLogic()
        self._checkpoints = CheckpointSection(self.ui, self._showMessage)
        self._devices = DeviceSection(self.ui, self._showMessage)
        self._result = ResultSection(self.ui)
        self._connect()
        self._showRunning(False)
        self.ui.detailsButton.setVisible(False)
        if self.parent.isEntered:  # it has been loaded again
            self._initializeParameterNode()

    def _connect(self):
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneEndClose)
        # The first before the selectors, the second after them: they turn to another node when theirs is removed.
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved, priority=1.0)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved, priority=-1.0)
        self.ui.sampleButton.connect("clicked()", self._onSample)
        self.ui.brainMaskSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onMaskChosen)
        self.ui.translateButton.connect("clicked()", self._onTranslateOrCancel)
        self.ui.previewButton.connect("clicked()", self._onPreview)
        self.ui.detailsButton.connect("clicked()", self._onDetails)

    def cleanup(self):
        """Called when the application quits and before the module is loaded again."""
        self.logic.cancel()
        self._devices.stop()
        self._setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self._initializeParameterNode()
        self._checkpoints.refresh()

    def exit(self):
        pass

    def onReload(self):
        """Load the module's and the library's packages again too, after ending what runs with the old ones."""
        self.logic.cancel()
        for name in list(sys.modules):
            if name.partition(".")[0] in ("LMIDiffusionSlicer", "LMIDiffusionLib"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def _onSceneStartClose(self, _caller, _event):
        self._setParameterNode(None)

    def _onSceneEndClose(self, _caller, _event):
        # A scene that is loaded while another module is shown is none of this panel's business yet.
        if self.parent.isEntered:
            self._initializeParameterNode()
        elif self._run is not None:  # its result will need it
            self._setParameterNode(self.logic.getParameterNode())

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _caller, _event, node):
        if self._parameterNode is not None:
            self._lostOutputs = [name for name in _OUTPUTS if self._parameterNode.getValue(name) is node]

    def _onNodeRemoved(self, _caller, _event):
        for name in self._lostOutputs if self._parameterNode is not None else ():
            self._parameterNode.setValue(name, None)
        self._lostOutputs = []

    def _initializeParameterNode(self):
        if self._parameterNode is None:
            self._setParameterNode(self.logic.getParameterNode())
        if self._parameterNode.sourceVolume is None:
            self._parameterNode.sourceVolume = _firstVolume()

    def _setParameterNode(self, parameterNode):
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self._parameterNode = parameterNode
        self._readScene()
        if parameterNode is not None:
            self._parameterNodeGuiTag = parameterNode.connectParametersToGui(self._widgetsByParameter())
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
            self._onParametersChanged()

    def _widgetsByParameter(self):
        # Not connectGui: it does not always return the tag that disconnectGui needs.
        named = ((widget.property("SlicerParameterName"), widget) for widget in vars(self.ui).values())
        return {name: widget for name, widget in named if name}

    def _readScene(self):
        """Take values as they are in the scene: a preset in it has been applied, its views are shown already."""
        for section in (self._checkpoints, self._devices, self._result):
            section.setParameterNode(self._parameterNode)
        if self._parameterNode is not None:
            self._preset = self._parameterNode.quality

    def _onParametersChanged(self, _caller=None, _event=None):
        if self._isUpdating or self._parameterNode is None:
            return
        self._isUpdating = True
        try:
            self._applyPreset()
            self._limitSlices()
            self._updatePanel()
        finally:
            self._isUpdating = False

    def _applyPreset(self):
        """A newly chosen preset sets what it stands for; setting that by hand makes the preset Custom."""
        node = self._parameterNode
        preset = PRESETS.get(node.quality)
        if preset is not None and node.quality != self._preset:
            node.sampler, node.steps, node.samples = preset.sampler, preset.steps, preset.samples
        elif preset is not None and preset != Preset(node.sampler, node.steps, node.samples):
            node.quality = Quality.CUSTOM
        self._preset = node.quality

    def _limitSlices(self):
        """Keep the slice range inside the volume and in order; at first it is the whole volume."""
        node = self._parameterNode
        if self._volumeProblem() is not None:
            return
        last = Geometry.axialSliceCount(node.sourceVolume) - 1
        for spinBox in (self.ui.firstSliceSpinBox, self.ui.lastSliceSpinBox):
            spinBox.setMaximum(last)
        if not node.limitSlices:
            node.firstSlice, node.lastSlice = 0, last
        node.firstSlice = min(node.firstSlice, last)
        node.lastSlice = min(max(node.firstSlice, node.lastSlice), last)

    def _updatePanel(self):
        node = self._parameterNode
        self._checkpoints.update()
        self._devices.update()
        self._result.update()
        self.ui.brainMaskSelector.setCurrentNode(node.brainMask)
        self.ui.clustersComboBox.setEnabled(node.brainMask is None)
        self.ui.uncertaintySelector.setEnabled(node.uncertainty)
        self.ui.firstSliceSpinBox.setEnabled(node.limitSlices)
        self.ui.lastSliceSpinBox.setEnabled(node.limitSlices)
        self._describeVolume()
        self._updateButtons()

    def _describeVolume(self):
        problem = self._volumeProblem()
        if problem is None:
            self.ui.volumeInfoLabel.text = Geometry.describeVolume(self._parameterNode.sourceVolume)
        else:
            self.ui.volumeInfoLabel.text = problem

    def _volumeProblem(self):
        """Why the source cannot be translated, or None. Looks at all voxels, so at each volume once."""
        volume = self._parameterNode.sourceVolume
        if volume is None:
            return _("Choose a volume, or load the sample scan.")
        image = volume.GetImageData()
        version = (volume.GetID(), volume.GetMTime(), image.GetMTime() if image is not None else 0)
        if self._checked[0] != version:
            self._checked = (version, Geometry.whyNotTranslatable(volume))
        return self._checked[1]

    def _whyNotReady(self):
        node = self._parameterNode
        problem = self._volumeProblem()
        if problem is not None:
            return problem
        try:
            summary = self._checkpoints.summary()
        except TranslationError as error:
            return str(error)
        if node.brainMask is not None and not summary.knowsTissues:
            return _("This checkpoint was trained without brain masks; leave out the brain mask.")
        if node.uncertainty and node.samples < 2:
            return _("The uncertainty is the spread of several samples: choose Balanced, or 2 samples or more.")
        if node.sourceVolume in (node.outputVolume, node.uncertaintyVolume):
            return _("The source volume is chosen as an output too; choose another output.")
        return Geometry.whyTooThin(node.sourceVolume, summary.pixelSize)

    def _updateButtons(self):
        isRunning = self._run is not None
        problem = None if isRunning else self._whyNotReady()
        self.ui.translateButton.text = _("Cancel") if isRunning else _("Translate")
        self.ui.translateButton.enabled = problem is None and not self._isInstalling
        self.ui.translateButton.toolTip = problem or (
            _("End the translation; nothing is kept of it.") if isRunning else _("Translate the source volume.")
        )
        self.ui.previewButton.enabled = problem is None and not isRunning and not self._isInstalling
        if problem is not None:
            self.ui.volumeInfoLabel.toolTip = problem

    def _onMaskChosen(self, mask):
        if self._parameterNode is not None and not self._isUpdating:
            self._parameterNode.brainMask = mask

    def _onSample(self):
        with slicer.util.tryWithErrorDisplay(_("The sample scan could not be loaded."), waitCursor=True):
            volume, mask = SampleScans.loadPDwSample()
            self._parameterNode.sourceVolume = volume
            self._parameterNode.brainMask = mask
            slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=True)

    def _onTranslateOrCancel(self):
        if self._run is not None:
            self.logic.cancel()
            return
        node = self._parameterNode
        self._start(self._settings(), node.outputVolume, node.outputSegmentation, isPreview=False)

    def _onPreview(self):
        node = self._parameterNode
        index = Views.currentAxialSlice(node.sourceVolume)
        if index is None:
            self._showMessage(_("The red view shows no slice of the volume; scroll it into the volume first."))
            return
        settings = self._settings(slices=(index, index + 1))
        self._start(settings, node.previewVolume, node.previewSegmentation, isPreview=True)

    def _settings(self, slices=None) -> TranslationSettings:
        node = self._parameterNode
        if slices is None and node.limitSlices:
            slices = (node.firstSlice, node.lastSlice + 1)
        return TranslationSettings(
            checkpoint=self._checkpoints.chosen(),
            sampler=node.sampler,
            steps=node.steps,
            samples=node.samples,
            seed=node.seed,
            clusters=node.clusters,
            slices=slices,
            device=node.device,
            batchSize=node.batchSize or None,
        )

    def _start(self, settings, outputVolume, outputSegmentation, *, isPreview):
        if not self._installDependencies():
            return
        node = self._parameterNode
        self.ui.logTextEdit.clear()
        self.ui.detailsButton.setVisible(False)
        try:
            self._run = self.logic.startTranslation(
                node.sourceVolume,
                outputVolume,
                outputSegmentation,
                outputUncertainty=node.uncertaintyVolume,
                uncertainty=node.uncertainty and not isPreview,
                brainMask=node.brainMask,
                settings=settings,
                onProgress=self._onProgress,
                onFinished=self._onPreviewFinished if isPreview else self._onFinished,
                onError=self._onError,
                onLog=self.ui.logTextEdit.appendPlainText,
            )
        except TranslationError as error:
            self._onError(error)
        else:
            self._showRunning(True)

    def _installDependencies(self):
        """Whether all packages are there, once the user was asked and they were installed if need be."""
        missing = Dependencies.missingPackages()
        if not missing:
            return True
        obstacle = Dependencies.whyNotInstallable(missing)
        if obstacle is not None:
            self._onError(TranslationError(obstacle))
            return False
        if not self.confirmInstallation(Dependencies.describe(missing)):
            self._showMessage(_("Nothing was installed; the translation needs these packages."))
            return False
        self._setInstalling(True)
        try:
            Dependencies.install(missing)
        except TranslationError as error:
            self._onError(error)
            return False
        finally:
            self._setInstalling(False)
        return True

    def confirmInstallation(self, packages: str) -> bool:
        """Ask the user once for all packages. In testing mode nobody is there to answer."""
        question = _("LMIDiffusion needs Python packages that are not installed yet: {packages}. Install them now?")
        return not slicer.app.testingEnabled() and slicer.util.confirmOkCancelDisplay(
            question.format(packages=packages), windowTitle=_("LMIDiffusion")
        )

    def _setInstalling(self, isInstalling):
        """The installation runs the event loop: no button may start anything meanwhile."""
        self._isInstalling = isInstalling
        if isInstalling:
            self._showMessage(_("Installing Python packages, which can take minutes..."))
        self._updateButtons()

    def _onProgress(self, progress: Progress):
        self.ui.statusLabel.text = _progressText(progress)
        # A bar from 0 to 0 moves without an end.
        self.ui.progressBar.setMaximum(0 if progress.work is None else 100)
        if progress.work is not None:
            self.ui.progressBar.setValue(round(100 * progress.work.fraction))

    def _onFinished(self, result: TranslationResult):
        node = self._parameterNode
        node.outputVolume, node.outputSegmentation = result.volume, result.segmentation
        if result.uncertainty is not None:
            node.uncertaintyVolume = result.uncertainty
        self._showResult(result)

    def _onPreviewFinished(self, result: TranslationResult):
        self._parameterNode.previewVolume = result.volume
        self._parameterNode.previewSegmentation = result.segmentation
        self._showResult(result)

    def _showResult(self, result: TranslationResult):
        self._parameterNode.resultVolume = result.volume
        self._parameterNode.resultSegmentation = result.segmentation
        self._result.showNew()
        self._showRunning(False)
        self._showMessage(_("Done in {time}.").format(time=_duration(result.seconds)))

    def _onError(self, error: TranslationError):
        self._showRunning(False)
        self._showMessage(str(error))
        if not isinstance(error, TranslationCancelled):
            self.ui.detailsButton.setVisible(bool(error.details))
            # An empty text would still pad the dialog for details.
            slicer.util.errorDisplay(str(error), **({"detailedText": error.details} if error.details else {}))

    def _onDetails(self):
        self.ui.logGroupBox.collapsed = False

    def _showRunning(self, isRunning):
        if not isRunning:
            self._run = None
        self.ui.progressBar.setVisible(isRunning)
        if self._parameterNode is not None:
            self._updateButtons()

    def _showMessage(self, text):
        self.ui.statusLabel.text = text


def _firstVolume():
    """The first that can be a source: label maps, vector and diffusion volumes are scalar volumes to the scene too."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((volume for volume in volumes if volume.GetClassName() == "vtkMRMLScalarVolumeNode"), None)


def _progressText(progress: Progress) -> str:
    names = {
        "": _("Starting"),
        "reading": _("Reading the volume"),
        "loading": _("Loading the checkpoint"),
        "translating": _("Translating"),
        "segmenting": _("Segmenting"),
        "writing": _("Writing the result"),
    }
    stage = names.get(progress.stage, progress.stage)
    if progress.work is None:
        return stage
    return _("{stage}: slice {number} of {count}, about {time} left").format(
        stage=stage,
        number=min(progress.work.slice + 1, progress.work.slices),
        count=progress.work.slices,
        time=_duration(progress.work.secondsLeft),
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return _("{count} s").format(count=max(1, round(seconds)))
    return _("{count} min").format(count=round(seconds / 60))


class LMIDiffusionLogic(ScriptedLoadableModuleLogic):
    """Translates volumes, with or without the panel.

    .. code-block:: python

      import LMIDiffusion

      logic = LMIDiffusion.LMIDiffusionLogic()
      result = logic.translate(slicer.util.loadVolume("flair.nii.gz"))
      slicer.util.exportNode(result.volume, "t1w.nii.gz")
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._wrapper = None

    def getParameterNode(self):
        """The one of the scene; it lives on when the scene is closed, and its wrapper with it."""
        node = super().getParameterNode()
        if self._wrapper is None or self._wrapper.parameterNode is not node:
            self._wrapper = LMIDiffusionParameterNode(_withoutUnknownChoices(node))
        return self._wrapper

    def translate(
        self,
        sourceVolume: vtkMRMLScalarVolumeNode,
        outputVolume: vtkMRMLScalarVolumeNode | None = None,
        outputSegmentation: vtkMRMLSegmentationNode | None = None,
        *,
        outputUncertainty: vtkMRMLScalarVolumeNode | None = None,
        uncertainty: bool = False,
        brainMask: vtkMRMLNode | None = None,
        settings: TranslationSettings | None = None,
        onProgress: Callable[[Progress], None] | None = None,
    ) -> TranslationResult:
        """Translate a volume and wait for the result; the event loop runs meanwhile.

        :param outputVolume: is given the translation; None creates one, as for the other outputs.
        :param uncertainty: also compute the standard deviation over the samples.
        :param brainMask: segmentation or label map; segments tissues inside it instead of intensity classes.
        :raises TranslationError: it cannot be done; a TranslationCancelled if it was ended by `cancel`, by closing the
          scene, by deleting the source, or by quitting.
        """
        run = self.startTranslation(
            sourceVolume,
            outputVolume,
            outputSegmentation,
            outputUncertainty=outputUncertainty,
            uncertainty=uncertainty,
            brainMask=brainMask,
            settings=settings,
            onProgress=onProgress,
        )
        run.wait()
        if run.error is not None:
            raise run.error
        return run.result

    def startTranslation(
        self,
        sourceVolume: vtkMRMLScalarVolumeNode,
        outputVolume: vtkMRMLScalarVolumeNode | None = None,
        outputSegmentation: vtkMRMLSegmentationNode | None = None,
        *,
        outputUncertainty: vtkMRMLScalarVolumeNode | None = None,
        uncertainty: bool = False,
        brainMask: vtkMRMLNode | None = None,
        settings: TranslationSettings | None = None,
        onProgress: Callable[[Progress], None] | None = None,
        onFinished: Callable[[TranslationResult], None] | None = None,
        onError: Callable[[TranslationError], None] | None = None,
        onLog: Callable[[str], None] | None = None,
    ) -> TranslationRun:
        """As `translate`, but return at once; the callbacks come through the event loop.

        :raises TranslationError: it cannot be started, as when another one is running.
        """
        request = TranslationRequest(
            sourceID=_nodeID(sourceVolume),
            volumeID=_nodeID(outputVolume),
            segmentationID=_nodeID(outputSegmentation),
            uncertaintyID=_nodeID(outputUncertainty),
            maskID=_nodeID(brainMask),
            uncertainty=uncertainty,
            settings=settings or TranslationSettings(),
        )
        run = TranslationRun(request, onProgress=onProgress, onFinished=onFinished, onError=onError, onLog=onLog)
        run.start()
        return run

    def cancel(self):
        """End the translation that runs, whoever started it; harmless if there is none."""
        if TranslationRun.current is not None:
            TranslationRun.current.cancel()


def _withoutUnknownChoices(node):
    """A scene of a newer version may name choices that this one does not have; they would stop the wrapper."""
    for name, kind in get_type_hints(LMIDiffusionParameterNode).items():
        isChoice = isinstance(kind, type) and issubclass(kind, Enum)
        if isChoice and node.GetParameter(name) not in ("", *kind.__members__):
            node.UnsetParameter(name)
    return node


def _nodeID(node) -> str | None:
    return None if node is None else node.GetID()


class LMIDiffusionTest(ScriptedLoadableModuleTest):
    """Runs in Slicer ("Reload and Test", ctest) and on the test host, with or without a main window."""

    def runTest(self):
        """Through unittest, which knows that a test may be skipped; the method of the base class does not."""
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(type(self))
        result = unittest.TextTestRunner(verbosity=2).run(suite)
        self.assertTrue(result.wasSuccessful())

    def setUp(self):
        slicer.mrmlScene.Clear()

    def tearDown(self):
        LMIDiffusionLogic().cancel()

    def test_sampleScansLoad(self):
        SampleScans.registerSamples()
        volume, mask = SampleScans.loadPDwSample()
        self.assertIsNone(Geometry.whyNotTranslatable(volume))
        self.assertEqual(slicer.util.arrayFromVolume(volume).shape, slicer.util.arrayFromVolume(mask).shape)

    def test_voxelOrderIsThatOfTheSource(self):
        source = _leftHandedVolume()
        path = pathlib.Path(slicer.util.tempDirectory()) / "volume.nii"
        Geometry.writeVolume(source, path)
        readBack = Geometry.readVolume(path, "vtkMRMLScalarVolumeNode")
        path.unlink()
        path.parent.rmdir()
        np.testing.assert_array_equal(Geometry.arrayInOrderOf(source, readBack), slicer.util.arrayFromVolume(source))

    def test_badVolumeIsRefusedWithTheReason(self):
        volume = _leftHandedVolume()
        slicer.util.arrayFromVolume(volume)[:] = 1
        with self.assertRaisesRegex(TranslationError, "same value"):
            LMIDiffusionLogic().translate(volume)

    def test_sampleSliceIsTranslated(self):
        if Dependencies.missingPackages():
            self.skipTest("Python packages are missing: " + Dependencies.describe(Dependencies.missingPackages()))
        if not findCheckpoints():
            self.skipTest("There is no checkpoint")
        SampleScans.registerSamples()
        volume, mask = SampleScans.loadPDwSample()
        middle = Geometry.axialSliceCount(volume) // 2
        settings = TranslationSettings(slices=(middle, middle + 1), steps=4)
        result = LMIDiffusionLogic().translate(volume, brainMask=mask, settings=settings)
        np.testing.assert_array_equal(Geometry.ijkToRas(result.volume), Geometry.ijkToRas(volume))
        translated = slicer.util.arrayFromVolume(result.volume)
        self.assertEqual(np.flatnonzero(translated.any(axis=(1, 2))).tolist(), [middle])
        self.assertEqual(result.segmentation.GetSegmentation().GetNumberOfSegments(), 3)
        self.assertEqual(result.table.GetNumberOfRows(), 3)


def _leftHandedVolume():
    shape = (5, 6, 7)
    ijkToRas = np.diag([-2.0, 3.0, 4.0, 1.0])
    ijkToRas[:3, 3] = [10, -20, 30]
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return slicer.util.addVolumeFromArray(array, ijkToRas, "left-handed")
