"""The events that a worker tells of during a run: progress, results, errors, notices, and the log."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable

from LMIDiffusionLib.interface import events, notices, progress

from ..Worker.Progress import Progress

_LOG_LINES = 1000


class RunRecord:
    """
    :param count: number of requests.
    :param onProgress: called with each `Progress`.
    :param onLog: called with each line of the log.
    """

    def __init__(self, count: int, *, onProgress: Callable[[Progress], None], onLog: Callable[[str], None]):
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self.progress = Progress(count=count)
        self._onProgress, self._onLog = onProgress, onLog
        self._startTime = time.monotonic()
        self._ends: dict[int, events.Result | events.Error] = {}
        self._notices: dict[int, list[notices.Notice]] = {}

    def hear(self, event: events.Event) -> None:
        """Take in an event of the request that is being worked on."""
        if isinstance(event, events.Stage):
            self.write(event.value)
            self.report(stage=event, work=None)
        elif isinstance(event, progress.Progress):
            self.report(work=event)
        elif isinstance(event, events.JobStarted):
            self.report(number=event.number, stage=None, work=None)
        elif isinstance(event, notices.Notice):
            self.write(event.message)
            self._notices.setdefault(self.progress.number, []).append(event)
        elif isinstance(event, events.Result | events.Error):
            self._ends[self.progress.number] = event
            if isinstance(event, events.Error):
                self.write(event.message)

    def endOf(self, number: int) -> events.Result | events.Error | None:
        """Return how a request ended; None if the worker has not told."""
        return self._ends.get(number)

    def noticesOf(self, number: int) -> list[notices.Notice]:
        return self._notices.get(number, [])

    def write(self, line: str) -> None:
        self.log.append(line)
        self._onLog(line)

    def report(self, **changes) -> None:
        """Tell of the progress, with these changes."""
        self.progress = dataclasses.replace(self.progress, secondsLeft=None, **changes)
        if self.progress.fraction:
            self.progress = dataclasses.replace(self.progress, secondsLeft=self._secondsLeft())
        self._onProgress(self.progress)

    def _secondsLeft(self) -> float:
        """Return the worker's own estimate where it has but one request."""
        if self.progress.count == 1 and self.progress.work is not None:
            return self.progress.work.seconds_left
        elapsed = time.monotonic() - self._startTime
        return elapsed / self.progress.fraction - elapsed
