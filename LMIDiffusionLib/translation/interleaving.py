"""Interleaved samples of thin slices.

Neighbors of thin slices look nearly the same. Each sample generates only every n-th slice, at most 2 mm or a pixel's
width apart, and interpolates those between with the detail of the source. Samples begin at different slices, so that
every slice is generated in some sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .guided_upsampling import guided_upsampling
from .sliced_volume import SlicedVolume

_GAP = 2.0  # millimeters between generated slices; finer pixels take time enough without further slices
_ROUNDING = 0.01  # of a slice


@dataclass(frozen=True)
class Interleaving:
    """Choice of the slices that each sample of a plane generates.

    Attributes:
        step: distance between generated slices of a sample.
        samples: number of samples in the plane.
        head: indices of slices that show some of the head; empty if the step is 1.
    """

    step: int
    samples: int
    head: frozenset[int]

    @classmethod
    def from_volume(cls, source: SlicedVolume, *, samples: int, samples_of_all_planes: int) -> Interleaving:
        """Choose the largest step that fits the gap between generated slices and the number of samples."""
        fitting = int(max(_GAP, source.pixel_size) / source.grid.slice_spacing + _ROUNDING)
        step = max(1, min(samples_of_all_planes, fitting))
        return cls(step, samples, frozenset(source.head_slices() if step > 1 else ()))

    def neighbors(self, index: int, *, number: int) -> tuple[int, int]:
        """Return the generated slices between which a sample interpolates a slice; twice the slice if it is generated.

        Args:
            index: the slice.
            number: of the sample, from 0.
        """
        first = number * self.step // self.samples
        below = index - (index - first) % self.step
        above = below + self.step
        is_between = below < index and below in self.head and above in self.head
        return (below, above) if is_between else (index, index)


class InterleavedSample:
    """One sample, whose slices are generated when they are first needed."""

    def __init__(
        self,
        interleaving: Interleaving,
        source: SlicedVolume,
        *,
        number: int,
        generate: Callable[[list[int], int], Tensor],
    ) -> None:
        """
        Args:
            interleaving: which slices to generate.
            source: the volume.
            number: of the sample.
            generate: makes images (B, 1, H, W) of slices, which may be none, for the sample of a number.
        """
        self._interleaving, self._source = interleaving, source
        self._number, self._generate = number, generate
        self._generated: dict[int, Tensor] = {}

    def images(self, indices: list[int]) -> Tensor:
        """Return images (B, 1, H, W) of slices, and keep the neighbors that the next slices may need."""
        neighbors = [self._interleaving.neighbors(index, number=self._number) for index in indices]
        needed = {index for pair in neighbors for index in pair}
        new = sorted(needed - self._generated.keys())
        self._generated.update(zip(new, self._generate(new, self._number), strict=True))
        self._generated = {index: image for index, image in self._generated.items() if index in needed}
        lower, upper = (
            torch.stack([self._generated[index] for index in side]) for side in zip(*neighbors, strict=True)
        )
        return interpolate_skipped(self._source, (lower, upper), neighbors, indices)


def interpolate_skipped(
    source: SlicedVolume, images: tuple[Tensor, Tensor], neighbors: list[tuple[int, int]], indices: list[int]
) -> Tensor:
    """Interpolate skipped slices from generated neighbors, with the detail that the source shows between them.

    Args:
        source: the volume.
        images: of the lower and of the upper neighbors, (B, 1, H, W) each.
        neighbors: indices of these slices; both may be the slice itself.
        indices: the slices between them.

    Returns:
        (B, 1, H, W) in [0, 1].
    """
    result = images[0].clone()
    inner = [place for place, (below, above) in enumerate(neighbors) if below < above]
    if not inner:
        return result
    chosen = [indices[place] for place in inner]
    below, above = map(list, zip(*(neighbors[place] for place in inner), strict=True))
    low, high, between = torch.tensor([below, above, chosen], dtype=torch.float32, device="cpu")
    shares = ((between - low) / (high - low)).view(-1, 1, 1, 1)
    interpolated = torch.lerp(images[0][inner], images[1][inner], shares)
    guide = torch.lerp(source.slices[below], source.slices[above], shares)
    detailed = guided_upsampling(interpolated, guide, source.slices[chosen])
    result[inner] = source.with_air(detailed, chosen)
    return result
