"""What rivals have in common whose network turns a slice into the target's in one pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ..images.planes import AXIAL
from ..model import devices
from ..translation.options import TranslationOptions
from ..translation.sliced_volume import SlicedSource


class OnePass(ABC):
    """A `Method` that evaluates a network once a sample, and leaves the air of the source as LMIDiffusion does."""

    stride: int
    """Height and width of the network's slices must be multiples of it."""

    def __init__(self, *, device: torch.device) -> None:
        self.device = device

    @abstractmethod
    def translated(self, source: Tensor, *, number: int) -> Tensor:
        """Slices (B, 1, H, W) of the target modality in [0, 1] for those of a source; `number` is the sample's."""

    @property
    def planes(self) -> tuple[str, ...]:
        return (AXIAL,)

    @property
    def batch_size(self) -> int:
        return devices.batch_size(self.device)

    def steps(self, options: TranslationOptions) -> int:
        return 1

    def sample(
        self,
        source: SlicedSource,
        indices: list[int],
        *,
        number: int,
        options: TranslationOptions,
        on_step: Callable[[], None],
    ) -> Tensor:
        with torch.inference_mode():
            images = self.translated(source.padded(indices, stride=self.stride).to(self.device), number=number)
        on_step()
        return source.with_air(images, indices)
