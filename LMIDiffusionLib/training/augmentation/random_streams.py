"""Random numbers that do not depend on the number of processes that share a training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    import lightning


class Draws(Protocol):
    """Protocol of a source of random numbers for slices."""

    def uniform(self, slices: Tensor, *shape: int) -> Tensor:
        """Draw uniform numbers (B, *shape) in [0, 1) for slices (B, ...), on their device."""

    def normal(self, slices: Tensor, *shape: int) -> Tensor:
        """Draw standard normal numbers (B, *shape) for slices (B, ...), on their device."""


class SliceDraws:
    """Random numbers for the slices of one step, drawn in turn from one generator.

    Every process draws for the slices of all of them and keeps its own share, every `ranks`-th from `rank` on, as
    `CutBatches` deals them out: a slice sees the same numbers whichever process it falls to.
    """

    def __init__(self, generator: torch.Generator, *, rank: int = 0, ranks: int = 1) -> None:
        self._generator, self._rank, self._ranks = generator, rank, ranks

    def uniform(self, slices: Tensor, *shape: int) -> Tensor:
        """Draw uniform numbers (B, *shape) in [0, 1) for slices (B, ...), on their device."""
        return self._share(torch.rand, slices, shape)

    def normal(self, slices: Tensor, *shape: int) -> Tensor:
        """Draw standard normal numbers (B, *shape) for slices (B, ...), on their device."""
        return self._share(torch.randn, slices, shape)

    def _share(self, draw: Callable[..., Tensor], slices: Tensor, shape: tuple[int, ...]) -> Tensor:
        everyones = draw(len(slices) * self._ranks, *shape, generator=self._generator, device=slices.device)
        return everyones[self._rank :: self._ranks]


class SlabDraws:
    """Draws for slices that follow one another as parts of thicker ones: all parts of a thick slice get the same."""

    def __init__(self, draws: SliceDraws, parts: int) -> None:
        self._draws, self._parts = draws, parts

    def uniform(self, slices: Tensor, *shape: int) -> Tensor:
        """Return uniform numbers as `SliceDraws.uniform` does."""
        return self._draws.uniform(slices[:: self._parts], *shape).repeat_interleave(self._parts, 0)

    def normal(self, slices: Tensor, *shape: int) -> Tensor:
        """Return normal numbers as `SliceDraws.normal` does."""
        return self._draws.normal(slices[:: self._parts], *shape).repeat_interleave(self._parts, 0)


def step_draws(module: lightning.LightningModule, *seeds: int) -> SliceDraws:
    """Return random numbers for a training step that depend on its seeds alone, not on devices or ranks."""
    mixed = 0
    for seed in seeds:
        mixed = (mixed * 1_000_003 + seed) % 2**63
    generator = torch.Generator(module.device).manual_seed(mixed)
    return SliceDraws(generator, rank=module.global_rank, ranks=module.trainer.world_size)
