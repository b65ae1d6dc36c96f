"""Base class of baselines whose network translates a slice in one pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ..translation.options import TranslationOptions
from ..translation.sliced_volume import SlicedVolume
from ..translation.translator import Translator


class FeedForward(Translator):
    """Translator that evaluates a network once per sample and keeps the air of the source, as LMIDiffusion does."""

    stride: int
    """Divisor of the height and width of the network's slices."""

    def __init__(self, *, device: torch.device) -> None:
        self.device = device

    @abstractmethod
    def predict(self, source: Tensor, *, number: int) -> Tensor:
        """Translate slices (B, 1, H, W) in [0, 1]; `number` is that of the sample."""

    def sample(
        self,
        source: SlicedVolume,
        indices: list[int],
        *,
        number: int,
        options: TranslationOptions,
        on_step: Callable[[], None],
    ) -> Tensor:
        with torch.inference_mode():
            images = self.predict(source.padded(indices, stride=self.stride).to(self.device), number=number)
        on_step()
        return source.with_air(images, indices)
