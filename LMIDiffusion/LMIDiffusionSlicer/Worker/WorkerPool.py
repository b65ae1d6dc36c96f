"""Processes that translate, and the one that waits for the next translation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import slicer

from LMIDiffusionLib.interface.events import IDLE_SECONDS

from .. import LIBRARY_FOLDER
from ..Base.Dependencies import installedVersions
from ..Base.Paths import workerEnvironment
from .Command import workerCommand
from .WorkerProcess import WorkerProcess

# A worker that is about to end by itself is given no request any more.
_MARGIN = 10.0


def _ignore(*_arguments) -> None:
    pass


class Worker:
    """A process that translates what it is sent, request after request.

    `onLine` and `onExit` are those of whom it works for, with the arguments that `WorkerProcess` gives them.
    """

    def __init__(self, startProcess: Callable[..., WorkerProcess]):
        self.onLine: Callable[[str, str], None] = _ignore
        self.onExit: Callable[[int], None] = _ignore
        self.hasEnded = False
        self._circumstances = _circumstances()
        command, environment, _versions = self._circumstances
        self._process = startProcess(
            command,
            environment=environment,
            folder=LIBRARY_FOLDER,
            onLine=lambda stream, text: self.onLine(stream, text),
            onExit=self._onProcessExit,
        )

    @property
    def isCurrent(self) -> bool:
        """Tell whether a worker that is started now would be the same."""
        return not self.hasEnded and self._circumstances == _circumstances()

    def send(self, line: str) -> None:
        self._process.send(line)

    def terminate(self) -> None:
        """End it with all its children. Nothing is reported afterwards."""
        self.hasEnded = True
        self._process.terminate()

    def _onProcessExit(self, code: int) -> None:
        self.hasEnded = True
        self.onExit(code)


def _circumstances() -> tuple[list[str], dict[str, str], dict[str, str]]:
    """Return all that a worker depends on: Slicer's Python, its environment and its packages."""
    return workerCommand(), workerEnvironment(), installedVersions()


class WorkerPool:
    """Keeps one worker that has done its work, so that the next translation need not wait for PyTorch to be loaded.

    The kept one ends with the application, after ten minutes, or when packages have changed since it was started.

    :param startProcess: starts the command, with the arguments of `WorkerProcess`.
    """

    def __init__(self, startProcess: Callable[..., WorkerProcess] = WorkerProcess):
        self._startProcess = startProcess
        self._idle: Worker | None = None
        self._idleSince = 0.0

    def take(self) -> Worker:
        """Return the kept worker, or a new one.

        :raises OSError: it cannot be started.
        """
        worker = self._idle
        isInTime = time.monotonic() - self._idleSince < IDLE_SECONDS - _MARGIN
        if worker is None or not isInTime or not worker.isCurrent:
            self.end()
            return Worker(self._startProcess)
        self._forget()
        return worker

    def keep(self, worker: Worker) -> None:
        """Keep a worker that has done its work and waits for more."""
        self.end()
        worker.onLine = worker.onExit = _ignore
        self._idle, self._idleSince = worker, time.monotonic()
        slicer.app.connect("aboutToQuit()", self.end)

    def renew(self, worker: Worker) -> None:
        """Keep a new one in place of one that holds what others may need."""
        worker.terminate()
        with contextlib.suppress(OSError):
            self.keep(Worker(self._startProcess))

    def end(self) -> None:
        """End the kept worker, if there is one."""
        if self._idle is not None:
            self._idle.terminate()
            self._forget()

    def _forget(self) -> None:
        self._idle = None
        slicer.app.disconnect("aboutToQuit()", self.end)
