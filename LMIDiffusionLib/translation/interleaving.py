"""Which slices a sample is drawn of, where the slices are thinner than the checkpoint's pixels are wide.

Such neighbours show nearly the same. Every sample is drawn of some slices alone, at equal steps of at most a pixel's
width, and interpolated in between with the detail of the source. Samples begin at different slices, so that what one
leaves out is drawn in another, or in one of another plane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .sliced_volume import SlicedSource

_ROUNDING = 0.01  # of a slice


@dataclass(frozen=True)
class Staggering:
    """The slices of all samples of one source.

    Attributes:
        step: from a slice of a sample to the next.
        samples: how many there are in the plane.
        head: slices that show some of the head; empty where the step is 1.
    """

    step: int
    samples: int
    head: frozenset[int]

    @classmethod
    def of(cls, source: SlicedSource, *, samples: int, of_all: int) -> Staggering:
        """With as many slices to a step as fit a pixel, but no more than there are samples of all planes."""
        step = max(1, min(of_all, int(source.pixel_size / source.grid.slice_spacing + _ROUNDING)))
        return cls(step, samples, frozenset(source.head_slices() if step > 1 else ()))

    def around(self, index: int, *, number: int) -> tuple[int, int]:
        """The slices below and above between which a sample is interpolated; twice the slice where it is drawn."""
        first = number * self.step // self.samples
        below = index - (index - first) % self.step
        above = below + self.step
        is_between = below < index and below in self.head and above in self.head
        return (below, above) if is_between else (index, index)


class StaggeredSample:
    """One sample, whose slices are drawn when they are needed first."""

    def __init__(
        self, staggering: Staggering, source: SlicedSource, *, number: int, draw: Callable[[list[int], int], Tensor]
    ) -> None:
        """`draw` makes images (B, 1, H, W) of slices, which may be none, for the sample of a number."""
        self._staggering, self._source = staggering, source
        self._number, self._draw = number, draw
        self._drawn: dict[int, Tensor] = {}

    def of(self, indices: list[int]) -> Tensor:
        """Images (B, 1, H, W) of slices; what these need is kept for the next ones."""
        around = [self._staggering.around(index, number=self._number) for index in indices]
        needed = {index for pair in around for index in pair}
        new = sorted(needed - self._drawn.keys())
        self._drawn.update(zip(new, self._draw(new, self._number), strict=True))
        self._drawn = {index: image for index, image in self._drawn.items() if index in needed}
        lower, upper = (torch.stack([self._drawn[index] for index in side]) for side in zip(*around, strict=True))
        return self._source.between((lower, upper), around, indices)
