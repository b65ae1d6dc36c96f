"""Protocol of a translator, which LMIDiffusion and all baselines implement."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from ..images.planes import AXIAL
from ..model import devices
from .options import TranslationOptions
from .sliced_volume import SlicedVolume


class Translator(Protocol):
    """Generator of slices of the target modality from those of a source; also the base class of implementations.

    Attributes:
        device: to compute on.
    """

    device: torch.device

    @property
    def planes(self) -> tuple[str, ...]:
        """Planes that it was trained on, names in `planes.PLANES`, the axial one first."""
        return (AXIAL,)

    @property
    def batch_size(self) -> int:
        """Number of slices at once, unless the options say otherwise."""
        return devices.batch_size(self.device)

    def steps(self, options: TranslationOptions) -> int:
        """Return how often `sample` calls `on_step`."""
        return 1

    @abstractmethod
    def sample(
        self,
        source: SlicedVolume,
        indices: list[int],
        *,
        number: int,
        options: TranslationOptions,
        on_step: Callable[[], None],
    ) -> Tensor:
        """Generate one sample of some slices.

        Args:
            source: volume that the slices belong to.
            indices: of the slices.
            number: of the sample, from 0; the same number gives the same sample.
            options: of the translation.
            on_step: called after every step; an exception that it raises ends the work.

        Returns:
            (B, 1, H, W) in [0, 1] on the CPU, on the pixels of `source.slices`.
        """
