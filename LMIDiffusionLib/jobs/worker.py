"""Translations one after the other in one process, which loads PyTorch and the checkpoint but once."""

from __future__ import annotations

import json
import queue
import threading
import traceback
from collections.abc import Callable, Iterable

from ..errors import UserError
from ..interface.events import IDLE_SECONDS, ErrorKind, JobBegun, JobEnded, failure
from ..model.checkpoint_cache import CheckpointCache
from ..model.devices import select_device
from .reporting import Reporter, doubts_told
from .translation_job import TranslationJob

# As events.IDLE_SECONDS, once a GPU has been used: its driver keeps some of its memory for the process up to the end.
_GPU_IDLE_SECONDS = 5.0
_FORM = 'A request is a line of JSON such as {"number": 1, "arguments": ["scan.nii", "t1w.nii"]}; this is none.'


class Requests:
    """Lines of a stream. A thread reads them, so that waiting can end: `select` knows no pipes on Windows."""

    def __init__(self, stream: Iterable[bytes]) -> None:
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def next(self, *, seconds: float) -> bytes | None:
        """The next line; None at the end of the stream, or if none comes in so many seconds."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def _read(self, stream: Iterable[bytes]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(None)


class Server:
    """Works through requests; what fails does not end the others.

    A request is a JSON object with a `number`, which is told with its beginning and its end, and `arguments`, the words
    that follow `translate` on the command line.
    """

    def __init__(self, reporter: Reporter, job_of: Callable[[list[str]], TranslationJob]) -> None:
        """`job_of` reads the arguments."""
        self._reporter = reporter
        self._job_of = job_of
        self._checkpoints = CheckpointCache()
        self._holds_gpu = False

    def run(self, requests: Requests) -> None:
        """Answer requests until no more come."""
        while (line := requests.next(seconds=_GPU_IDLE_SECONDS if self._holds_gpu else IDLE_SECONDS)) is not None:
            self._answer(line)

    def _answer(self, line: bytes) -> None:
        number = None
        try:
            number, arguments = _parse(line)
            self._reporter.report(JobBegun(number))
            self._work(arguments)
        except Exception as error:
            reason = failure(error)
            if reason.kind is ErrorKind.INTERNAL:
                traceback.print_exc()
            self._reporter.report(reason)
        if number is not None:
            self._reporter.report(JobEnded(number, self._holds_gpu))

    def _work(self, arguments: list[str]) -> None:
        job = self._job_of(arguments)
        self._holds_gpu |= select_device(job.processor.device).type != "cpu"
        with doubts_told(self._reporter):
            job.run(self._reporter, load=self._checkpoints.load)


def _parse(line: bytes) -> tuple[int, list[str]]:
    try:
        request = json.loads(line)
        number, arguments = request["number"], request["arguments"]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UserError(_FORM) from error
    if type(number) is not int or type(arguments) is not list or not all(type(word) is str for word in arguments):
        raise UserError(_FORM)
    return number, arguments
