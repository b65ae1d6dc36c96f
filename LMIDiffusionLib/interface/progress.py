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
    """Turns slices, samples and steps done into progress and an estimate of the time left.

    Attributes:
        slices: to do.
        steps: of a sample of a slice.
        samples: of all slices together.
    """

    slices: int
    steps: int
    samples: int
    _done: int = 0
    _drawn: int = 0
    _batch: int = 0
    _samples_each: int = 1
    _taken: int = 0
    _fraction: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    def begin(self, batch: int, *, samples: int) -> None:
        """A batch of so many slices begins, or begins anew, each of which takes so many samples."""
        self._batch, self._samples_each, self._taken = batch, samples, 0

    def step(self) -> Progress:
        """A step of the present batch is done."""
        self._taken += 1
        drawn = self._drawn + self._batch * self._taken / self.steps
        self._fraction = max(self._fraction, drawn / self.samples)  # a batch that is halved half-way starts anew
        elapsed = time.monotonic() - self._start
        left = elapsed / self._fraction - elapsed
        step = (self._taken - 1) % self.steps + 1
        return Progress(self._done, self.slices, step, self.steps, self._fraction, left)

    def finish(self) -> None:
        """All samples of the present batch are there."""
        self._done += self._batch
        self._drawn += self._batch * self._samples_each
