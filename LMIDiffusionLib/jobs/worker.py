"""A worker process that runs translation jobs one after the other and loads PyTorch and the checkpoint once."""

from __future__ import annotations

import json
import queue
import threading
import traceback
from collections.abc import Iterable
from typing import Any

from ..errors import UserError
from ..interface.events import IDLE_SECONDS, ErrorKind, JobEnded, JobStarted, failure
from ..model.checkpoint_cache import CheckpointCache
from ..model.devices import select_device
from .job_fields import from_fields
from .reporting import Reporter
from .translation_job import TranslationJob

# After a GPU has been used: its driver keeps some GPU memory until the process ends.
_GPU_IDLE_SECONDS = 5.0
_FORM = 'The line is no request; write one such as {"number": 1, "job": {"source": "scan.nii", "output": "t1w.nii"}}.'


class Requests:
    """Lines of a stream, read by a thread so that waiting can time out: `select` does not support pipes on Windows."""

    def __init__(self, stream: Iterable[bytes]) -> None:
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def next(self, *, seconds: float) -> bytes | None:
        """Return the next line, or None at the end of the stream or after so many seconds without a line."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def _read(self, stream: Iterable[bytes]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(None)


class Server:
    """Runs the jobs of requests; a job that fails does not end the others.

    A request is a JSON object with a `number`, which is reported at the job's start and end, and a `job`, the fields of
    a `TranslationJob`.
    """

    def __init__(self, reporter: Reporter) -> None:
        """`reporter` is told every event."""
        self._reporter = reporter
        self._checkpoints = CheckpointCache()
        self._holds_gpu = False

    def run(self, requests: Requests) -> None:
        """Run jobs until no more requests come."""
        while (line := requests.next(seconds=_GPU_IDLE_SECONDS if self._holds_gpu else IDLE_SECONDS)) is not None:
            self._answer(line)

    def _answer(self, line: bytes) -> None:
        number = None
        try:
            number, fields = _parse(line)
            self._reporter.report(JobStarted(number))
            self._run(from_fields(TranslationJob, fields))
        except Exception as error:
            reason = failure(error)
            if reason.kind is ErrorKind.INTERNAL:
                traceback.print_exc()
            self._reporter.report(reason)
        if number is not None:
            self._reporter.report(JobEnded(number, self._holds_gpu))

    def _run(self, job: TranslationJob) -> None:
        self._holds_gpu |= select_device(job.model.device).type != "cpu"
        job.run(self._reporter, load=self._checkpoints.load)


def _parse(line: bytes) -> tuple[int, Any]:
    try:
        request = json.loads(line)
        number, fields = request["number"], request["job"]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UserError(_FORM) from error
    if type(number) is not int:
        raise UserError(_FORM)
    return number, fields
