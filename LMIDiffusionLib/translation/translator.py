"""What a method of translation is: LMIDiffusion and everything it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from .options import TranslationOptions
from .sliced_volume import SlicedSource


class Method(Protocol):
    """Draws slices of the target modality in place of a source's."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def planes(self) -> tuple[str, ...]:
        """In which it has learned to draw, names in `planes.PLANES`, the axial one first."""

    @property
    def batch_size(self) -> int:
        """Slices at once where the options leave it open."""

    def steps(self, options: TranslationOptions) -> int:
        """How often `sample` calls `on_step`."""

    def sample(
        self,
        source: SlicedSource,
        indices: list[int],
        *,
        number: int,
        options: TranslationOptions,
        on_step: Callable[[], None],
    ) -> Tensor:
        """Draw one sample of some slices.

        Args:
            source: the volume they are of.
            indices: which of its slices.
            number: of the sample, from 0; the same number gives the same sample.
            options: how.
            on_step: called after every step; what it raises ends the work.

        Returns:
            (B, 1, H, W) in [0, 1] on the CPU, on the pixels of `source.slices`.
        """
