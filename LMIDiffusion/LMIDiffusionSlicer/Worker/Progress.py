"""Progress of a run."""

from __future__ import annotations

from dataclasses import dataclass

from LMIDiffusionLib.interface import events, progress


@dataclass(frozen=True)
class Progress:
    """Progress of request `number` of `count`; `stage` is None until the worker starts, `work` until it translates.

    `secondsLeft` is an estimate for all requests, None where there is none yet.
    """

    stage: events.Stage | None = None
    work: progress.Progress | None = None
    number: int = 0
    count: int = 1
    secondsLeft: float | None = None

    @property
    def fraction(self) -> float | None:
        """Share of all requests that is done, or None where nothing is known yet."""
        if self.work is None and self.number == 0:
            return None
        return (self.number + (0.0 if self.work is None else self.work.fraction)) / self.count
