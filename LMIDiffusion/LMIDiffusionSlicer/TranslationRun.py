"""One translation, from nodes to nodes: files out, the library's command in a child process, results in."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from .Checkpoints import CheckpointSummary, defaultCheckpoint, readSummary, resolveCheckpoint
from .Dependencies import describe, missingPackages
from .Devices import AUTOMATIC
from .Errors import TranslationCancelled, TranslationError
from .Geometry import arrayInOrderOf, readVolume, whyNotTranslatable, whyTooThin, writeMask, writeVolume
from .Library import pythonCommand, workerEnvironment
from .Presets import PRESETS, Clusters, Quality, Sampler
from .Results import TABLE_ROLE, OutputNodes, TranslationResult, fillSegmentation, fillTable, fillVolume
from .WorkerEvents import ErrorEvent, ProgressEvent, ResultEvent, StageEvent, parseEvent
from .WorkerProcess import WorkerProcess

_LOG_LINES = 1000
_DETAIL_LINES = 40
_BATCH_MILLISECONDS = 100
_REMOVALS, _SECONDS_BETWEEN_REMOVALS = 20, 0.1
_KILLED_IN_SHELL = 128 + 9
_CRASH_ON_WINDOWS = 0xC0000000
_BALANCED = PRESETS[Quality.BALANCED]


@dataclass(frozen=True)
class TranslationSettings:
    """How to translate.

    :param checkpoint: name in the list or path; empty for the default.
    :param slices: axial slices [first, stop) from the feet up; None for all.
    :param batchSize: slices at once; None fits the device.
    """

    checkpoint: str = ""
    sampler: Sampler = _BALANCED.sampler
    steps: int = _BALANCED.steps
    samples: int = _BALANCED.samples
    seed: int = 0
    clusters: Clusters = Clusters.FIVE
    slices: tuple[int, int] | None = None
    device: str = AUTOMATIC
    batchSize: int | None = None

    def commandArguments(self) -> list[str]:
        arguments = ["--sampler", self.sampler.value, "--device", self.device]
        arguments += ["--steps", str(self.steps), "--samples", str(self.samples), "--seed", str(self.seed)]
        if self.slices is not None:
            arguments += ["--slices", "{}:{}".format(*self.slices)]
        if self.batchSize is not None:
            arguments += ["--batch-size", str(self.batchSize)]
        return arguments


@dataclass(frozen=True)
class TranslationRequest:
    """Which nodes to read and to fill, by ID: a node may be deleted while the worker runs.

    Outputs that are None are created when there is a result.
    """

    sourceID: str
    volumeID: str | None = None
    segmentationID: str | None = None
    uncertaintyID: str | None = None
    maskID: str | None = None
    uncertainty: bool = False
    settings: TranslationSettings = field(default_factory=TranslationSettings)


@dataclass(frozen=True)
class Progress:
    """`stage` is empty until the worker has started; the rest is None where nothing is known yet."""

    stage: str = ""
    work: ProgressEvent | None = None


class RunState(Enum):
    NEW = "new"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


def _ignore(*_arguments) -> None:
    pass


class TranslationRun:
    """A translation that runs beside the event loop. Only one runs at a time.

    :param onProgress: called with each `Progress`.
    :param onFinished: called with the `TranslationResult`.
    :param onError: called with a `TranslationError`, which is a `TranslationCancelled` if the run was ended.
    :param onLog: called with each line of the log.
    """

    current: ClassVar[TranslationRun | None] = None

    def __init__(
        self,
        request: TranslationRequest,
        *,
        onProgress: Callable[[Progress], None] | None = None,
        onFinished: Callable[[TranslationResult], None] | None = None,
        onError: Callable[[TranslationError], None] | None = None,
        onLog: Callable[[str], None] | None = None,
    ):
        self.state = RunState.NEW
        self.result: TranslationResult | None = None
        self.error: TranslationError | None = None
        self._request = request
        self._onProgress = onProgress or _ignore
        self._onFinished = onFinished or _ignore
        self._onError = onError or _ignore
        self._onLog = onLog or _ignore
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._progress = Progress()
        self._event: ResultEvent | None = None
        self._workerMessage = ""
        self._worker: WorkerProcess | None = None
        self._folder: Path | None = None
        self._summary: CheckpointSummary | None = None
        self._sceneObservers: list[int] = []
        self._loop = None

    @property
    def isActive(self) -> bool:
        return self.state == RunState.RUNNING

    def start(self) -> None:
        """Start the worker.

        :raises TranslationError: it cannot start; nothing is left behind.
        """
        if TranslationRun.current is not None:
            raise TranslationError(_("A translation is running already; cancel it or wait for its end."))
        source = slicer.mrmlScene.GetNodeByID(self._request.sourceID)
        checkpoint = self._check(source)
        TranslationRun.current, self.state = self, RunState.RUNNING
        try:
            self._folder = _makeFolder()
            self._startWorker(source, checkpoint)
        except BaseException:
            self._end(RunState.FAILED)
            raise
        self._observe()
        self._onProgress(self._progress)

    def cancel(self, reason: str = "") -> None:
        """End the worker with all its children. Harmless where nothing runs."""
        if self.isActive:
            self._end(RunState.CANCELLED)
            self.error = TranslationCancelled(reason or _("The translation was cancelled."))
            self._onError(self.error)

    def wait(self) -> None:
        """Run the event loop until the end; the application's end cancels the run."""
        if self.isActive:
            self._loop = qt.QEventLoop()
            # Its name depends on the version of Qt.
            (self._loop.exec if hasattr(self._loop, "exec") else self._loop.exec_)()
            self._loop = None
            self.cancel()

    def _check(self, source) -> Path:
        """Find what cannot work before anything is started; returns the checkpoint's path."""
        request = self._request
        if source is None:
            raise TranslationError(_("There is no source volume; choose one."))
        problem = whyNotTranslatable(source)
        if problem:
            raise TranslationError(problem)
        if request.uncertainty and request.settings.samples < 2:
            raise TranslationError(_("The uncertainty is the spread of several samples; ask for 2 or more."))
        outputs = [each for each in (request.volumeID, request.uncertaintyID) if each]
        if len({request.sourceID, *outputs}) < 1 + len(outputs):
            raise TranslationError(_("The source and the output volumes must be different nodes."))
        if request.segmentationID is not None and request.segmentationID == request.maskID:
            raise TranslationError(_("The brain mask and the output segmentation must be different nodes."))
        checkpoint = resolveCheckpoint(request.settings.checkpoint or defaultCheckpoint())
        self._summary = readSummary(checkpoint)
        problem = whyTooThin(source, self._summary.pixelSize)
        if problem:
            raise TranslationError(problem)
        if request.maskID is not None and not self._summary.knowsTissues:
            raise TranslationError(_("This checkpoint was trained without brain masks; leave out the brain mask."))
        missing = missingPackages()
        if missing:
            raise TranslationError(_("Python packages are missing: {packages}.").format(packages=describe(missing)))
        return checkpoint

    def _startWorker(self, source, checkpoint: Path) -> None:
        writeVolume(source, self._path("source"))
        command = [pythonCommand(), "-m", "LMIDiffusionLib", "translate"]
        command += [str(self._path("source")), str(self._path("volume")), "--events"]
        command += ["--segmentation", str(self._path("segmentation")), "--checkpoint", str(checkpoint)]
        command += self._request.settings.commandArguments()
        if self._request.uncertainty:
            command += ["--uncertainty", str(self._path("uncertainty"))]
        command += self._segmentationArguments(source)
        self._addToLog(" ".join(command))
        try:
            self._worker = WorkerProcess(
                command,
                environment=workerEnvironment(),
                folder=self._folder,
                onLine=self._onLine,
                onExit=self._onExit,
            )
        except OSError as error:
            raise TranslationError(_("The worker process could not be started."), str(error)) from error

    def _segmentationArguments(self, source) -> list[str]:
        mask = slicer.mrmlScene.GetNodeByID(self._request.maskID) if self._request.maskID else None
        if mask is None:
            return ["--clusters", str(self._request.settings.clusters.value)]
        writeMask(mask, source, self._path("mask"))
        return ["--mask", str(self._path("mask"))]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.nii"

    def _observe(self) -> None:
        scene = slicer.mrmlScene
        self._sceneObservers = [
            scene.AddObserver(scene.StartCloseEvent, self._onSceneClosing),
            scene.AddObserver(scene.NodeRemovedEvent, self._onNodeRemoved),
        ]
        slicer.app.connect("aboutToQuit()", self._onQuit)

    def _stopObserving(self) -> None:
        if self._sceneObservers:
            for tag in self._sceneObservers:
                slicer.mrmlScene.RemoveObserver(tag)
            self._sceneObservers = []
            slicer.app.disconnect("aboutToQuit()", self._onQuit)

    def _onSceneClosing(self, _caller, _event) -> None:
        self.cancel(_("The scene was closed, which ended the translation."))

    def _onNodeRemoved(self, _caller, _event) -> None:
        if slicer.mrmlScene.GetNodeByID(self._request.sourceID) is None:
            self.cancel(_("The source volume was deleted, which ended the translation."))

    def _onQuit(self) -> None:
        self.cancel()

    def _onLine(self, stream: str, text: str) -> None:
        event = parseEvent(text) if stream == "stdout" else None
        if isinstance(event, StageEvent):
            self._addToLog(event.stage)
            self._report(Progress(event.stage))
        elif isinstance(event, ProgressEvent):
            self._report(Progress(self._progress.stage, event))
        elif isinstance(event, ResultEvent):
            self._event = event
        elif isinstance(event, ErrorEvent):
            self._workerMessage = event.message
            self._addToLog(event.message)
        else:
            self._addToLog(text)

    def _report(self, progress: Progress) -> None:
        self._progress = progress
        self._onProgress(progress)

    def _addToLog(self, line: str) -> None:
        self._log.append(line)
        self._onLog(line)

    def _onExit(self, code: int) -> None:
        if slicer.mrmlScene.IsBatchProcessing():
            # A scene is being read, with an event loop of its own: wait for its end.
            qt.QTimer.singleShot(_BATCH_MILLISECONDS, lambda: self._onExit(code))
        elif self.isActive:
            self._finish(code)

    def _finish(self, code: int) -> None:
        try:
            if code != 0 or self._event is None:
                raise TranslationError(self._whyFailed(code))
            self.result = self._publish(self._event)
        except TranslationError as error:
            self._fail(error)
        except Exception as error:
            self._addToLog(repr(error))
            self._fail(TranslationError(_("The result could not be put into the scene.")))
        else:
            self._end(RunState.FINISHED)
            self._onFinished(self.result)

    def _fail(self, error: TranslationError) -> None:
        error.with_traceback(None)  # it would keep the frames alive, and the nodes in them
        error.details = error.details or "\n".join(list(self._log)[-_DETAIL_LINES:])
        self.error = error
        self._end(RunState.FAILED)
        self._onError(error)

    def _whyFailed(self, code: int) -> str:
        last = self._workerMessage or next(filter(None, map(str.strip, reversed(self._log))), "")
        if "memory" in last.lower():
            return _(
                "There is too little memory on the device; close other programs, choose a smaller batch size, or"
                " choose another device under Advanced."
            )
        if self._workerMessage:
            return self._workerMessage.replace(str(self._path("source")), self._sourceName())
        if code == 0:
            return _("The worker process ended without a result.")
        if wasKilled(code, self._log):
            return _("The worker process was ended from outside, perhaps because the computer ran out of memory.")
        return _("The worker process failed: {message}").format(message=last)

    def _sourceName(self) -> str:
        return slicer.mrmlScene.GetNodeByID(self._request.sourceID).GetName()

    def _publish(self, event: ResultEvent) -> TranslationResult:
        """Read all files, then fill the nodes."""
        request = self._request
        source = slicer.mrmlScene.GetNodeByID(request.sourceID)
        array = arrayInOrderOf(source, readVolume(self._path("volume"), "vtkMRMLScalarVolumeNode"))
        labels = readVolume(self._path("segmentation"), "vtkMRMLLabelMapVolumeNode")
        spread = None
        if request.uncertainty:
            spread = arrayInOrderOf(source, readVolume(self._path("uncertainty"), "vtkMRMLScalarVolumeNode"))
        name = self._resultName()
        with OutputNodes(source) as outputs:
            volume = outputs.node("vtkMRMLScalarVolumeNode", request.volumeID, name)
            fillVolume(volume, source, array, upperLevel=1.0, description=self._description())
            segmentation = outputs.node(
                "vtkMRMLSegmentationNode", request.segmentationID, _("{name} segmentation").format(name=name)
            )
            fillSegmentation(segmentation, source, volume, labels, event.classes)
            uncertainty = None if spread is None else self._fillUncertainty(outputs, source, spread, name)
            tableID = segmentation.GetNodeReferenceID(TABLE_ROLE)
            table = outputs.node("vtkMRMLTableNode", tableID, _("{name} volumes").format(name=name))
            segmentation.SetNodeReferenceID(TABLE_ROLE, table.GetID())
            fillTable(table, event.classes)
        return TranslationResult(volume, segmentation, uncertainty, table, event.seconds)

    def _fillUncertainty(self, outputs: OutputNodes, source, spread: np.ndarray, name: str):
        volume = outputs.node(
            "vtkMRMLScalarVolumeNode", self._request.uncertaintyID, _("{name} uncertainty").format(name=name)
        )
        upperLevel = float(spread.max()) or 1.0
        fillVolume(volume, source, spread, upperLevel=upperLevel, description=self._description())
        return volume

    def _resultName(self) -> str:
        name = _("{source} as {modality}").format(source=self._sourceName(), modality=self._summary.modality)
        return name if self._request.settings.slices is None else _("{name} (part)").format(name=name)

    def _description(self) -> str:
        settings = self._request.settings
        return _(
            "Made by LMIDiffusion from {source}: {sampler}, {steps} steps, {samples} samples, seed {seed}."
            " For research only."
        ).format(
            source=self._sourceName(),
            sampler=settings.sampler.value,
            steps=settings.steps,
            samples=settings.samples,
            seed=settings.seed,
        )

    def _end(self, state: RunState) -> None:
        """Leave no process, file or observer behind."""
        self.state = state
        TranslationRun.current = None
        self._stopObserving()
        if self._worker is not None:
            self._worker.terminate()
            self._worker = None
        if self._folder is not None:
            removeFolder(self._folder)
        if self._loop is not None:
            self._loop.quit()


def removeFolder(folder: Path) -> None:
    """On Windows, what a dying process has open cannot be removed yet."""
    for _attempt in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_SECONDS_BETWEEN_REMOVALS)


def wasKilled(code: int, log: Iterable[str]) -> bool:
    """Whether a process ended by a signal or a crash, which the launcher of Slicer's Python tells in words alone."""
    isBySignal = code < 0 or code == _KILLED_IN_SHELL or code >= _CRASH_ON_WINDOWS
    return isBySignal or any("exit abnormally" in line for line in log)


def _makeFolder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="LMIDiffusion-", dir=slicer.app.temporaryPath))
    except OSError as error:
        raise TranslationError(
            _("The temporary folder {folder} cannot be written to; choose another in the application settings.").format(
                folder=slicer.app.temporaryPath
            )
        ) from error
