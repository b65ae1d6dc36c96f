"""How far a translation is, and how long the rest will take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """Where a translation stands.

    Attributes:
        slice: slices done, all samples taken together as one pass each.
        slices: slices to do.
        step: steps done of the present batch.
        steps: steps a batch takes.
        fraction: share of all work done, 0 to 1.
        seconds_left: estimate.
    """

    slice: int
    slices: int
    step: int
    steps: int
    fraction: float
    seconds_left: float


@dataclass
class Clock:
    """Turns slices, samples and steps done into progress and an estimate of the time left."""

    slices: int
    samples: int
    steps: int
    _done: int = 0
    _fraction: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    def progress(self, batch: int, sample: int, step: int) -> Progress:
        """After a step of the sample of that number, from 0, in a batch of so many slices."""
        share = self._done + batch * (sample * self.steps + step) / (self.samples * self.steps)
        self._fraction = max(self._fraction, share / self.slices)  # a batch that is halved half-way starts anew
        elapsed = time.monotonic() - self._start
        left = elapsed / self._fraction - elapsed
        return Progress(self._done, self.slices, step, self.steps, self._fraction, left)

    def finish(self, batch: int) -> None:
        """All samples of a batch of so many slices are there."""
        self._done += batch
