"""Test-time augmentation: the views of a source from which the samples of one translation are drawn.

The network learned to draw one and the same image whatever the contrast of the source, mirrored or not. Where it yet
draws another one, neither view is the right one: the mean over views is better than one view's, and their spread shows
where the contrast of the source decided.
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
    """A contrast and an orientation in which a sample sees the source.

    Attributes:
        tone: takes intensities in [0, 1] to intensities in [0, 1], 0 to 0.
        flips: axes of (B, 1, H, W) along which the slices are flipped.
    """

    tone: Callable[[Tensor], Tensor]
    flips: tuple[int, ...]

    def of(self, source: Tensor) -> Tensor:
        """The source (B, 1, H, W) as this view shows it."""
        return self.tone(source).flip(self.flips)

    def unflipped(self, denoise: Denoiser) -> Denoiser:
        """The denoiser of this view's slices as one of slices that are not flipped."""
        return lambda noisy, sigma: denoise(noisy.flip(self.flips), sigma).flip(self.flips)


def sample_view(number: int) -> View:
    """The view of a plane's sample of that number, from 0; the first one is the best single one.

    Four tones take turns, every other sample is mirrored, and the next four samples are mirrored the other way round.
    """
    rounds, turn = divmod(number, len(_TONES))
    return View(_TONES[turn], (_MIRRORED,) * ((rounds + turn) % 2))


def _as_it_is(source: Tensor) -> Tensor:
    return source


def _flattened(source: Tensor) -> Tensor:
    """Bright tissues at half their contrast and dark ones alike, as in PDw scans; air stays dark."""
    return torch.minimum(6 * source, (0.2 + source / 2).clamp(min=0.3))


def _brightened(source: Tensor) -> Tensor:
    return source.sqrt()


def _slightly_brightened(source: Tensor) -> Tensor:
    return source.pow(0.7)


# From a choice of monotone, inverted and random ones: falling ones lost more in real scans than they won in averages.
_TONES = (_slightly_brightened, _flattened, _brightened, _as_it_is)
