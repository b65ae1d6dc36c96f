"""Adaptive discriminator augmentation of real and generated images, with a probability that follows overfitting."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...training.augmentation.random_streams import SliceDraws

_TARGET = 0.6
_INTERVAL = 4  # steps between two changes of the probability
# Images in which the probability could rise from 0 to 1; for the long trainings of the paper it is 500,000.
_RISE = 100_000
_LOG_SCALE = 0.2  # standard deviation of log2, as for the contrast
_SHIFT = 0.125
_BRIGHTNESS = 0.2
_LOG_CONTRAST = 0.5


class AdaptiveAugmentation(nn.Module):
    """Random geometry and intensities, each with a probability p that follows the heuristic r_t of Karras et al. 2020.

    r_t is the mean sign of the discriminator's logits of real training images: above 0.6 it overfits, and p rises.

    Attributes:
        probability: p.
    """

    probability: Tensor
    _signs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("probability", torch.zeros(()))
        self.register_buffer("_signs", torch.zeros(2))  # their sum and number since the last change

    def forward(self, images: Tensor, draws: SliceDraws) -> Tensor:
        """Augment images (B, 1, H, W), about [-1, 1]; beyond their borders they are reflected."""
        grid = functional.affine_grid(self._moves(images, draws), list(images.shape), align_corners=False)
        moved = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        brightness, contrast = self._some(draws.normal(images, 2), draws).unflatten(1, (2, 1, 1, 1)).unbind(1)
        return (moved + _BRIGHTNESS * brightness) * torch.exp2(_LOG_CONTRAST * contrast)

    def observe(self, real_logits: Tensor) -> None:
        """Add the discriminator's logits of one step's real images to the statistics."""
        signs = real_logits.detach().sign()
        self._signs += torch.stack([signs.sum(), torch.ones_like(signs).sum()])

    def adapt(self, step: int) -> None:
        """Raise or lower p every fourth step, by the images observed since the last change."""
        if step % _INTERVAL != _INTERVAL - 1:
            return
        total, count = self._signs
        change = (total / count - _TARGET).sign() * count / _RISE
        self.probability.copy_((self.probability + change).clamp(0, 1))
        self._signs.zero_()

    def _some(self, amounts: Tensor, draws: SliceDraws) -> Tensor:
        """Keep each of the amounts (B, n) with probability p, and set the others to 0."""
        return torch.where(draws.uniform(amounts, amounts.shape[1]) < self.probability, amounts, 0)

    def _moves(self, images: Tensor, draws: SliceDraws) -> Tensor:
        """Draw affine matrices (B, 2, 3) of rotations, scales and shifts."""
        uniform = draws.uniform(images, 2)
        turns = torch.stack([(uniform[:, 0] * 4).floor() * math.pi / 2, (2 * uniform[:, 1] - 1) * math.pi], 1)
        angle = self._some(turns, draws).sum(1)
        size, stretch, down, right = self._some(draws.normal(images, 4), draws).unbind(1)
        rows, columns = torch.exp2(_LOG_SCALE * (size + stretch)), torch.exp2(_LOG_SCALE * (size - stretch))
        first = torch.stack([angle.cos() * columns, -angle.sin() * rows, 2 * _SHIFT * right], 1)
        second = torch.stack([angle.sin() * columns, angle.cos() * rows, 2 * _SHIFT * down], 1)
        return torch.stack([first, second], 1)
