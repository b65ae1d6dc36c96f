"""The life of the process that translates: it is started, heard and ended, and its files are removed."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from LMIDiffusionLib import events, progress

from .Command import inputFile, translateArguments, workerCommand
from .Dependencies import describe, missingPackages
from .Errors import TranslationCancelled, TranslationError
from .Library import workerEnvironment
from .Publisher import publish
from .Request import TranslationRequest
from .Results import TranslationResult
from .WorkerProcess import WorkerProcess

_LOG_LINES = 1000
_DETAIL_LINES = 40
_BATCH_MILLISECONDS = 100
_REMOVALS, _SECONDS_BETWEEN_REMOVALS = 20, 0.1
_KILLED_IN_SHELL = 128 + 9
_CRASH_ON_WINDOWS = 0xC0000000


@dataclass(frozen=True)
class Progress:
    """Of request `number` of `count`; `stage` is None until the worker has started, `work` until it translates.

    `secondsLeft` is an estimate for all requests, None where there is none yet.
    """

    stage: events.Stage | None = None
    work: progress.Progress | None = None
    number: int = 0
    count: int = 1
    secondsLeft: float | None = None

    @property
    def fraction(self) -> float | None:
        """Share of all requests, or None where nothing is known yet."""
        if self.work is None and self.number == 0:
            return None
        return (self.number + (0.0 if self.work is None else self.work.fraction)) / self.count


@dataclass(frozen=True)
class Outcome:
    """What became of a request: a result or an error."""

    request: TranslationRequest
    result: TranslationResult | None = None
    error: TranslationError | None = None


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

    :param startProcess: starts the command, with the arguments of `WorkerProcess`.
    :param publishResult: makes nodes of a request's files.
    :param onProgress: called with each `Progress`.
    :param inputs: nodes whose deletion ends the run; the sources of the requests if not given.
    :param onFinished: called with the `Outcome` of every request, once all have been worked through.
    :param onCancelled: called with a `TranslationCancelled` if the run is ended before.
    :param onLog: called with each line of the log.
    """

    def __init__(
        self,
        requests: Sequence[TranslationRequest],
        *,
        startProcess: Callable[..., WorkerProcess] = WorkerProcess,
        publishResult: Callable[[TranslationRequest, Path, events.Result], TranslationResult] = publish,
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
        self._startProcess, self._publishResult = startProcess, publishResult
        self._onProgress, self._onFinished = onProgress or _ignore, onFinished or _ignore
        self._onCancelled, self._onLog = onCancelled or _ignore, onLog or _ignore
        self._inputs = [request.sourceVolume for request in requests] if inputs is None else list(inputs)
        self._startTime = time.monotonic()
        self._progress = Progress(count=len(self._requests))
        self._heard: dict[int, events.Result | events.Error] = {}
        self._worker: WorkerProcess | None = None
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
            self._folder = _makeFolder()
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
            # Its name depends on the version of Qt.
            (self._loop.exec if hasattr(self._loop, "exec") else self._loop.exec_)()
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
        jobs = []
        for number, request in enumerate(self._requests):
            self._folderOf(number).mkdir()
            jobs.append(translateArguments(request, self._folderOf(number)))
            self._addToLog(" ".join(["lmidiffusion", *map(_withoutFolder, jobs[-1])]))
        try:
            self._worker = self._startProcess(
                workerCommand(jobs, self._folder),
                environment=workerEnvironment(),
                folder=self._folder,
                onLine=self._onLine,
                onExit=self._onExit,
            )
        except OSError as error:
            raise TranslationError(_("The worker process could not be started."), str(error)) from error

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
            self._onOtherLine(text)
        elif isinstance(event, events.Stage):
            self._addToLog(event.value)
            self._report(stage=event, work=None)
        elif isinstance(event, progress.Progress):
            self._report(work=event)
        else:
            self._heard[self._progress.number] = event
            if isinstance(event, events.Error):
                self._addToLog(event.message)

    def _onOtherLine(self, text: str) -> None:
        number = numberOfJob(text)
        if number is None or number >= len(self._requests):
            self._addToLog(text)
        else:
            self._report(number=number, stage=None, work=None)

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
        if slicer.mrmlScene.IsBatchProcessing():
            # A scene is being read, with an event loop of its own: wait for its end.
            qt.QTimer.singleShot(_BATCH_MILLISECONDS, lambda: self._onExit(code))
        elif self.isActive:
            self._finish(code)

    def _finish(self, code: int) -> None:
        self.outcomes = [self._outcome(number, code) for number in range(len(self._requests))]
        hasFailed = all(outcome.error is not None for outcome in self.outcomes)
        self._end(RunState.FAILED if hasFailed else RunState.FINISHED)
        self._onFinished(self.outcomes)

    def _outcome(self, number: int, code: int) -> Outcome:
        request, event = self._requests[number], self._heard.get(number)
        try:
            if not isinstance(event, events.Result):
                raise TranslationError(self._whyFailed(event, code, request))
            return Outcome(request, result=self._publishResult(request, self._folderOf(number), event))
        except TranslationError as error:
            return Outcome(request, error=self._withDetails(error))
        except Exception as error:
            self._addToLog(repr(error))
            return Outcome(
                request, error=self._withDetails(TranslationError(_("The result could not be put into the scene.")))
            )

    def _withDetails(self, error: TranslationError) -> TranslationError:
        error.with_traceback(None)  # it would keep the frames alive, and the nodes in them
        error.details = error.details or "\n".join(list(self.log)[-_DETAIL_LINES:])
        return error

    def _whyFailed(self, event: events.Error | None, code: int, request: TranslationRequest) -> str:
        if event is not None and event.kind is events.ErrorKind.OUT_OF_MEMORY:
            return _(
                "There is too little memory on the device; close other programs, choose a smaller batch size, or"
                " choose another device under Advanced."
            )
        if event is not None:
            file = str(inputFile(self._folderOf(self._requests.index(request))))
            return event.message.replace(file, request.sourceVolume.GetName())
        if wasKilled(code, self.log):
            return _("The worker process was ended from outside, perhaps because the computer ran out of memory.")
        if code == 0:
            return _("The worker process ended without a result.")
        last = next(filter(None, map(str.strip, reversed(self.log))), "")
        return _("The worker process failed: {message}").format(message=last)

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


def numberOfJob(text: str) -> int | None:
    """Of the request that the worker begins with, if a line says that."""
    try:
        fields = json.loads(text)
        return int(fields["number"]) if fields["event"] == "job" else None
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _withoutFolder(argument: str) -> str:
    return Path(argument).name if Path(argument).is_absolute() else argument


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
