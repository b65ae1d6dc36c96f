"""The part of a run that has files and a process: requests are written, sent one by one, and cleaned up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ..Base.Errors import TranslationError
from ..Base.RunFolder import makeFolder, removeFolder
from ..Scene.Request import TranslationRequest
from .Command import jobFields, requestLine, shownJob
from .WorkerPool import Worker, WorkerPool


class WorkerSession:
    """
    :param workers: lends the process, and takes it back when all requests have been worked through.
    :param log: called with each job.
    """

    def __init__(self, requests: Sequence[TranslationRequest], workers: WorkerPool, log: Callable[[str], None]):
        self._requests = requests
        self._workers = workers
        self._log = log
        self._jobs: list[dict[str, Any]] = []
        self._folder: Path | None = None
        self._worker: Worker | None = None

    def start(self, *, onLine: Callable[[str, str], None], onExit: Callable[[int], None]) -> None:
        """Write the files of all requests, and send the first.

        :raises TranslationError: a file cannot be written, or the process not be started; call `end` then too.
        """
        self._folder = makeFolder()
        for number, request in enumerate(self._requests):
            self.folderOf(number).mkdir()
            self._jobs.append(jobFields(request, self.folderOf(number)))
        try:
            self._worker = self._workers.take()
        except OSError as error:
            raise TranslationError(_("The worker process could not be started."), str(error)) from error
        self._worker.onLine, self._worker.onExit = onLine, onExit
        self.send(0)

    def send(self, number: int) -> None:
        self._log(shownJob(self._jobs[number]))
        self._worker.send(requestLine(number, self._jobs[number]))

    def folderOf(self, number: int) -> Path:
        return self._folder / str(number)

    def giveBack(self, *, holdsGpu: bool) -> None:
        """Keep the process for the next run; one that holds memory of a GPU gives way to a new one."""
        worker, self._worker = self._worker, None
        if holdsGpu:
            self._workers.renew(worker)
        else:
            self._workers.keep(worker)

    def end(self) -> None:
        """Leave no file, and no process that has not been given back."""
        if self._worker is not None:
            self._worker.terminate()
            self._worker = None
        if self._folder is not None:
            removeFolder(self._folder)
