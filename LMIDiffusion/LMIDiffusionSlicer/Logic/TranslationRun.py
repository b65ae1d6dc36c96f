"""The life of the process that translates: it is started, heard and ended, and its files are removed."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from LMIDiffusionLib.interface import events, notices, progress

from ..Base.Dependencies import describe, missingPackages
from ..Base.Errors import TranslationCancelled, TranslationError
from ..Base.RunFolder import makeFolder, removeFolder
from ..Scene.Request import TranslationRequest
from ..Scene.ResultLoader import loadResult as loadFiles
from ..Scene.Results import TranslationResult
from ..Worker.Command import requestLine, shownCommand, translateArguments, withNodeNames
from ..Worker.FailureMessages import whyFailed
from ..Worker.Progress import Progress
from ..Worker.WorkerPool import Worker, WorkerPool

_LOG_LINES = 1000
_DETAIL_LINES = 40
_BATCH_MILLISECONDS = 100


@dataclass(frozen=True)
class Outcome:
    """The end of a request: a result with notices about its source and mask, or an error."""

    request: TranslationRequest
    result: TranslationResult | None = None
    error: TranslationError | None = None
    notices: tuple[str, ...] = ()


class RunState(Enum):
    NEW = "new"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


def _ignore(*_arguments) -> None:
    pass


class TranslationRun:
    """Translates requests one after the other in a process beside the event loop.

    A request that fails does not end the others.

    :param workers: give the process, and keep it for the next run when it has worked through all requests.
    :param loadResult: makes nodes of a request's files.
    :param onProgress: called with each `Progress`.
    :param inputs: nodes whose deletion ends the run; the sources of the requests if not given.
    :param onFinished: called with the `Outcome` of every request, once all have been worked through.
    :param onCancelled: called with a `TranslationCancelled` if the run is ended before.
    :param onLog: called with each line of the log.
    """

    def __init__(  # noqa: PLR0913
        self,
        requests: Sequence[TranslationRequest],
        *,
        workers: WorkerPool,
        loadResult: Callable[[TranslationRequest, Path, events.Result], TranslationResult] = loadFiles,
        inputs: Sequence[slicer.vtkMRMLNode] | None = None,
        onProgress: Callable[[Progress], None] | None = None,
        onFinished: Callable[[list[Outcome]], None] | None = None,
        onCancelled: Callable[[TranslationCancelled], None] | None = None,
        onLog: Callable[[str], None] | None = None,
    ):
        self.state = RunState.NEW
        self.outcomes: list[Outcome] = []
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self._requests = tuple(requests)
        self._workers, self._loadResult = workers, loadResult
        self._onProgress, self._onFinished = onProgress or _ignore, onFinished or _ignore
        self._onCancelled, self._onLog = onCancelled or _ignore, onLog or _ignore
        self._inputs = [request.sourceVolume for request in requests] if inputs is None else list(inputs)
        self._startTime = time.monotonic()
        self._progress = Progress(count=len(self._requests))
        self._heard: dict[int, events.Result | events.Error] = {}
        self._notices: dict[int, list[str]] = {}
        self._worker: Worker | None = None
        self._arguments: list[list[str]] = []
        self._folder: Path | None = None
        self._sceneObservers: list[int] = []
        self._loop = None

    @property
    def isActive(self) -> bool:
        return self.state == RunState.RUNNING

    def start(self) -> None:
        """Start the worker.

        :raises TranslationError: it cannot start; nothing is left behind.
        """
        self._check()
        self.state = RunState.RUNNING
        try:
            self._folder = makeFolder()
            self._startWorker()
        except BaseException:
            self._end(RunState.FAILED)
            raise
        self._observe()
        self._onProgress(self._progress)

    def cancel(self, reason: str = "") -> None:
        """End the worker with all its children. Harmless where nothing runs."""
        if self.isActive:
            error = TranslationCancelled(reason or _("The translation was cancelled."))
            self.outcomes = [Outcome(request, error=error) for request in self._requests]
            self._end(RunState.CANCELLED)
            self._onCancelled(error)

    def wait(self) -> None:
        """Run the event loop until the end; the application's end cancels the run."""
        if self.isActive:
            self._loop = qt.QEventLoop()
            self._loop.exec()
            self._loop = None
            self.cancel()

    def _check(self) -> None:
        """Find what cannot work before anything is started."""
        for request in self._requests:
            problem = request.problem()
            if problem is not None:
                raise TranslationError(problem)
        optional = {each for request in self._requests for each in request.optionalPackages()}
        missing = missingPackages(optional=sorted(optional))
        if missing:
            raise TranslationError(_("Python packages are missing: {packages}.").format(packages=describe(missing)))

    def _startWorker(self) -> None:
        for number, request in enumerate(self._requests):
            self._folderOf(number).mkdir()
            self._arguments.append(translateArguments(request, self._folderOf(number)))
        try:
            self._worker = self._workers.take()
        except OSError as error:
            raise TranslationError(_("The worker process could not be started."), str(error)) from error
        self._worker.onLine, self._worker.onExit = self._onLine, self._onExit
        self._send(0)

    def _send(self, number: int) -> None:
        arguments = self._arguments[number]
        self._addToLog(shownCommand(arguments))
        self._worker.send(requestLine(number, arguments))

    def _folderOf(self, number: int) -> Path:
        return self._folder / str(number)

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
        if any(node.GetScene() is None for node in self._inputs):
            self.cancel(_("The source volume was deleted, which ended the translation."))

    def _onQuit(self) -> None:
        self.cancel()

    def _onLine(self, stream: str, text: str) -> None:
        event = events.parse(text) if stream == "stdout" else None
        if event is None:
            self._addToLog(text)
        elif isinstance(event, events.Stage):
            self._addToLog(event.value)
            self._report(stage=event, work=None)
        elif isinstance(event, progress.Progress):
            self._report(work=event)
        elif isinstance(event, events.JobStarted):
            self._report(number=event.number, stage=None, work=None)
        elif isinstance(event, events.JobEnded):
            self._onJobEnded(event)
        elif isinstance(event, notices.Notice):
            self._addToLog(event.message)
            self._notices.setdefault(self._progress.number, []).append(event.message)
        else:
            self._heard[self._progress.number] = event
            if isinstance(event, events.Error):
                self._addToLog(event.message)

    def _onJobEnded(self, event: events.JobEnded) -> None:
        if event.number + 1 < len(self._requests):
            self._send(event.number + 1)
        else:
            # What it has written to standard error before comes with this poll, but after standard output.
            qt.QTimer.singleShot(0, lambda: self._whenSceneIsRead(lambda: self._finish(0, event)))

    def _report(self, **changes) -> None:
        self._progress = dataclasses.replace(self._progress, secondsLeft=None, **changes)
        if self._progress.fraction:
            self._progress = dataclasses.replace(self._progress, secondsLeft=self._secondsLeft())
        self._onProgress(self._progress)

    def _secondsLeft(self) -> float:
        """The worker's own estimate where it has but one request."""
        if len(self._requests) == 1 and self._progress.work is not None:
            return self._progress.work.seconds_left
        elapsed = time.monotonic() - self._startTime
        return elapsed / self._progress.fraction - elapsed

    def _addToLog(self, line: str) -> None:
        self.log.append(line)
        self._onLog(line)

    def _onExit(self, code: int) -> None:
        self._whenSceneIsRead(lambda: self._finish(code))

    def _whenSceneIsRead(self, finish: Callable[[], None]) -> None:
        if slicer.mrmlScene.IsBatchProcessing():
            # A scene is being read, with an event loop of its own: wait for its end.
            qt.QTimer.singleShot(_BATCH_MILLISECONDS, lambda: self._whenSceneIsRead(finish))
        elif self.isActive:
            finish()

    def _finish(self, code: int, lastJob: events.JobEnded | None = None) -> None:
        """The worker has ended with that code, or it waits for more after the last job."""
        if lastJob is not None:
            self._giveBack(lastJob)
        self.outcomes = [self._outcome(number, code) for number in range(len(self._requests))]
        hasFailed = all(outcome.error is not None for outcome in self.outcomes)
        self._end(RunState.FAILED if hasFailed else RunState.FINISHED)
        self._onFinished(self.outcomes)

    def _giveBack(self, lastJob: events.JobEnded) -> None:
        worker, self._worker = self._worker, None
        if lastJob.holds_gpu:
            self._workers.renew(worker)
        else:
            self._workers.keep(worker)

    def _outcome(self, number: int, code: int) -> Outcome:
        request, event = self._requests[number], self._heard.get(number)
        try:
            if not isinstance(event, events.Result):
                raise TranslationError(self._inWordsOf(number, whyFailed(event, code, self.log)))
            notices = tuple(self._inWordsOf(number, notice) for notice in self._notices.get(number, ()))
            return Outcome(request, self._loadResult(request, self._folderOf(number), event), notices=notices)
        except TranslationError as error:
            return Outcome(request, error=self._withDetails(error))
        except Exception as error:
            self._addToLog(repr(error))
            return Outcome(
                request, error=self._withDetails(TranslationError(_("The result could not be put into the scene.")))
            )

    def _inWordsOf(self, number: int, message: str) -> str:
        return withNodeNames(message, self._requests[number], self._folderOf(number))

    def _withDetails(self, error: TranslationError) -> TranslationError:
        error.with_traceback(None)  # it would keep the frames alive, and the nodes in them
        error.details = error.details or "\n".join(list(self.log)[-_DETAIL_LINES:])
        return error

    def _end(self, state: RunState) -> None:
        """Leave no process, file or observer behind."""
        self.state = state
        self._stopObserving()
        if self._worker is not None:
            self._worker.terminate()
            self._worker = None
        if self._folder is not None:
            removeFolder(self._folder)
        if self._loop is not None:
            self._loop.quit()
