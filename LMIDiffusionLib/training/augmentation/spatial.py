"""Random moves of training slices: mirrored, turned, scaled, shifted, and reduced to the brain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .random_streams import Draws

# A slice below the brain would be left empty by stripping.
_LEAST_BRAIN = 0.02


def _as_it_is(grid: Tensor) -> Tensor:
    return grid


@dataclass(frozen=True)
class Geometry:
    """Random moves of slices, and their extent.

    Attributes:
        unmoved: share of slices that are at most mirrored, and thus keep their sharpness.
        rotation: largest angle in degrees.
        scaling: largest relative change of size, each axis on its own.
        translation: largest shift, as a share of the slice.
        skull_stripping: share of slices reduced to their brain.
    """

    unmoved: float = 0.4
    rotation: float = 8.0
    scaling: float = 0.08
    translation: float = 0.04
    skull_stripping: float = 0.35

    def move(
        self,
        images: Tensor,
        brains: Tensor,
        draws: Draws,
        *,
        deform: Callable[[Tensor], Tensor] = _as_it_is,
    ) -> tuple[Tensor, Tensor]:
        """Move the channels of images (B, C, H, W) in [0, 1] alike, and choose what is kept of each slice.

        Args:
            images: slices and copies of them.
            brains: masks (B, 1, H, W), 0 or 1.
            draws: source of random numbers.
            deform: takes where slices are to be sampled, (B, H, W, 2) as `grid_sample` has it, to where else.

        Returns:
            The moved images, whole, and masks (B, 1, H, W): ones, or the brain alone where its slice is to be stripped.
        """
        grid = deform(functional.affine_grid(self._affine(images, draws), list(images.shape), align_corners=False))
        # Linear interpolation would smooth the slices, and teach the network to draw smooth ones.
        moved = functional.grid_sample(
            images, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        ).clamp(0, 1)
        moved_brains = functional.grid_sample(brains, grid, padding_mode="reflection", align_corners=False)
        grown = functional.max_pool2d(moved_brains, 3, stride=1, padding=1)
        chance = draws.uniform(images, 2, 1, 1)
        brain = torch.where(chance[:, 1:] < 0.5, moved_brains, grown) > 0.5
        has_brain = brain.float().mean((2, 3), keepdim=True) > _LEAST_BRAIN
        stripped = (chance[:, :1] < self.skull_stripping) & has_brain
        return moved, torch.where(stripped, brain, torch.ones_like(brain))

    def _affine(self, images: Tensor, draws: Draws) -> Tensor:
        moved = draws.uniform(images, 1, 1, 1) >= self.unmoved
        amounts = moved * (2 * draws.uniform(images, 5, 1, 1) - 1)
        angle, scale_y, scale_x, shift_y, shift_x = amounts.flatten(1).unbind(1)
        flip = torch.where(draws.uniform(images, 1, 1, 1).flatten() < 0.5, -1.0, 1.0)
        angle = angle * math.radians(self.rotation)
        aspect = images.shape[-2] / images.shape[-1]
        rows = (1 + self.scaling * scale_y) * flip
        columns = 1 + self.scaling * scale_x
        # affine_grid has x along the columns and both axes in [-1, 1]: a rotation shears unless the aspect is put in.
        first = torch.stack([angle.cos() * columns, -angle.sin() * aspect * rows, 2 * self.translation * shift_x], 1)
        second = torch.stack([angle.sin() / aspect * columns, angle.cos() * rows, 2 * self.translation * shift_y], 1)
        return torch.stack([first, second], 1)
