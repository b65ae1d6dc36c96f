"""Progress of a translation and an estimate of the time left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """State of a running translation.

    Attributes:
        slice: number of slices that are done, with all their samples.
        slices: number of all slices.
        step: steps done in the current batch.
        steps: steps of a batch.
        fraction: share of all work that is done, 0 to 1.
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
    """Counts steps, samples and slices, and estimates the time left.

    Attributes:
        slices: number of all slices.
        steps: steps of one sample of a slice.
        samples: number of samples of all slices together.
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
        """Start or restart a batch of `batch` slices with `samples` samples each."""
        self._batch, self._samples_each, self._taken = batch, samples, 0

    def step(self) -> Progress:
        """Count a step of the current batch."""
        self._taken += 1
        drawn = self._drawn + self._batch * self._taken / self.steps
        self._fraction = max(self._fraction, drawn / self.samples)  # a batch that is halved half-way starts anew
        elapsed = time.monotonic() - self._start
        left = elapsed / self._fraction - elapsed
        step = (self._taken - 1) % self.steps + 1
        return Progress(self._done, self.slices, step, self.steps, self._fraction, left)

    def finish(self) -> None:
        """Count the current batch as done."""
        self._done += self._batch
        self._drawn += self._batch * self._samples_each
