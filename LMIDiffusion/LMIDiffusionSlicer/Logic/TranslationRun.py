"""One run of the worker, from requests to nodes of the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import qt
import slicer
from slicer.i18n import tr as _

from LMIDiffusionLib.interface import events

from ..Base.Dependencies import describe, missingPackages
from ..Base.Errors import TranslationCancelled, TranslationError
from ..Scene.Request import TranslationRequest
from ..Scene.ResultLoader import ResultLoader
from ..Scene.Results import TranslationResult
from ..Scene.Sequences import SequenceLoader
from ..Worker.Command import nodeName
from ..Worker.FailureMessages import whyFailed
from ..Worker.Progress import Progress
from ..Worker.WorkerPool import WorkerPool
from ..Worker.WorkerSession import WorkerSession
from .RunGuard import RunGuard
from .RunRecord import RunRecord

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

    :param workers: lends the process, and keeps it for the next run when it has worked through all requests.
    :param loader: makes nodes of each request's files, and knows the inputs whose deletion ends the run.
    :param onProgress: called with each `Progress`.
    :param onFinished: called with the `Outcome` of every request, once all have been worked through.
    :param onCancelled: called with a `TranslationCancelled` if the run is ended before.
    :param onLog: called with each line of the log.
    """

    def __init__(
        self,
        requests: Sequence[TranslationRequest],
        *,
        workers: WorkerPool,
        loader: ResultLoader | SequenceLoader | None = None,
        onProgress: Callable[[Progress], None] | None = None,
        onFinished: Callable[[list[Outcome]], None] | None = None,
        onCancelled: Callable[[TranslationCancelled], None] | None = None,
        onLog: Callable[[str], None] | None = None,
    ):
        self.state = RunState.NEW
        self.outcomes: list[Outcome] = []
        self._requests = tuple(requests)
        self._loader = ResultLoader(self._requests) if loader is None else loader
        self._onFinished, self._onCancelled = onFinished or _ignore, onCancelled or _ignore
        self._record = RunRecord(len(self._requests), onProgress=onProgress or _ignore, onLog=onLog or _ignore)
        self._session = WorkerSession(self._requests, workers, self._record.write)
        self._guard = RunGuard(self._loader.inputs, self.cancel)
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
            self._session.start(onLine=self._onLine, onExit=self._onExit)
        except BaseException:
            self._end(RunState.FAILED)
            raise
        self._guard.start()
        self._record.report()

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

    def _onLine(self, stream: str, text: str) -> None:
        event = events.parse(text) if stream == "stdout" else None
        if event is None:
            self._record.write(text)
        elif isinstance(event, events.JobEnded):
            self._onJobEnded(event)
        else:
            self._record.hear(event)

    def _onJobEnded(self, event: events.JobEnded) -> None:
        if event.number + 1 < len(self._requests):
            self._session.send(event.number + 1)
        else:
            # What it has written to standard error before comes with this poll, but after standard output.
            qt.QTimer.singleShot(0, lambda: self._whenSceneIsRead(lambda: self._finish(0, event)))

    def _onExit(self, code: int) -> None:
        self._whenSceneIsRead(lambda: self._finish(code))

    def _whenSceneIsRead(self, finish: Callable[[], None]) -> None:
        if slicer.mrmlScene.IsBatchProcessing():
            # A scene is being read, with an event loop of its own: wait for its end.
            qt.QTimer.singleShot(_BATCH_MILLISECONDS, lambda: self._whenSceneIsRead(finish))
        elif self.isActive:
            finish()

    def _finish(self, code: int, lastJob: events.JobEnded | None = None) -> None:
        """Publish the results: the worker has ended with that code, or waits for more after the last job."""
        if lastJob is not None:
            self._session.giveBack(holdsGpu=lastJob.holds_gpu)
        self.outcomes = [self._outcome(number, code) for number in range(len(self._requests))]
        hasFailed = all(outcome.error is not None for outcome in self.outcomes)
        self._end(RunState.FAILED if hasFailed else RunState.FINISHED)
        self._onFinished(self.outcomes)

    def _outcome(self, number: int, code: int) -> Outcome:
        request, end, folder = self._requests[number], self._record.endOf(number), self._session.folderOf(number)
        try:
            if not isinstance(end, events.Result):
                named = end and replace(end, place=nodeName(end.place, request, folder))
                raise TranslationError(whyFailed(named, code, self._record.log))
            notices = tuple(
                each.at(nodeName(each.place, request, folder)).message for each in self._record.noticesOf(number)
            )
            return Outcome(request, self._loader.load(request, folder, end), notices=notices)
        except TranslationError as error:
            return Outcome(request, error=self._withDetails(error))
        except Exception as error:
            self._record.write(repr(error))
            return Outcome(
                request, error=self._withDetails(TranslationError(_("The result could not be put into the scene.")))
            )

    def _withDetails(self, error: TranslationError) -> TranslationError:
        error.with_traceback(None)  # it would keep the frames alive, and the nodes in them
        error.details = error.details or "\n".join(list(self._record.log)[-_DETAIL_LINES:])
        return error

    def _end(self, state: RunState) -> None:
        """Leave no process, file or observer behind."""
        self.state = state
        self._guard.stop()
        self._session.end()
        if self._loop is not None:
            self._loop.quit()
