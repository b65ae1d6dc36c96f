"""Test-time augmentation: each sample of a translation sees the source with another contrast and orientation.

The network was trained to generate the same image whatever the contrast of the source, mirrored or not. Where views
still differ, their mean is better than any single one, and their spread shows where the contrast decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.samplers import Denoiser

# Left to right, in sagittal slices front to back: training mirrors along the rows too, whatever the plane.
_MIRRORED = -2


@dataclass(frozen=True)
class View:
    """An intensity curve and a flip that are applied to the source of a sample.

    Attributes:
        tone: intensity curve from [0, 1] to [0, 1] with tone(0) = 0.
        flips: axes of (B, 1, H, W) along which the slices are flipped.
    """

    tone: Callable[[Tensor], Tensor]
    flips: tuple[int, ...]

    def apply(self, source: Tensor) -> Tensor:
        """Return the source (B, 1, H, W) in this view."""
        return self.tone(source).flip(self.flips)

    def unflipped(self, denoise: Denoiser) -> Denoiser:
        """Wrap a denoiser of flipped slices so that it takes and returns unflipped ones."""
        return lambda noisy, sigma: denoise(noisy.flip(self.flips), sigma).flip(self.flips)


def sample_view(number: int) -> View:
    """Return the view of a sample by its number in the plane, from 0; the first view is the best single one.

    Four intensity curves take turns; every other sample is mirrored, and in the next four the others are.
    """
    rounds, turn = divmod(number, len(_TONES))
    return View(_TONES[turn], (_MIRRORED,) * ((rounds + turn) % 2))


def _as_it_is(source: Tensor) -> Tensor:
    return source


def _flattened(source: Tensor) -> Tensor:
    """Halve the contrast of bright tissues and level dark ones, as in PDw scans; air stays dark."""
    return torch.minimum(6 * source, (0.2 + source / 2).clamp(min=0.3))


def _brightened(source: Tensor) -> Tensor:
    return source.sqrt()


def _slightly_brightened(source: Tensor) -> Tensor:
    return source.pow(0.7)


# Chosen among rising, falling and random curves: falling ones cost more on single scans than averages gained.
_TONES = (_slightly_brightened, _flattened, _brightened, _as_it_is)
