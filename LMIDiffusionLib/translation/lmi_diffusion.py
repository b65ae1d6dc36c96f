"""LMIDiffusion, and what it has in common with other methods that sample from the score network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..images.planes import AXIAL
from ..model import devices
from ..model.checkpoint import Checkpoint
from ..model.denoisers import conditional_denoiser
from ..model.samplers import Denoiser, NoiseSource, shared_noise
from .options import TranslationOptions
from .sliced_volume import SlicedSource
from .test_time_augmentation import sample_view


@dataclass(frozen=True)
class SamplingStart:
    """What a solver is given: the denoiser, the noisy slices (B, 1, H, W) and the noise levels, theirs first."""

    denoise: Denoiser
    state: Tensor
    noise_levels: Tensor


class DiffusionMethod(ABC):
    """A `Method` that runs the reverse SDE of a checkpoint's score network on one device."""

    def __init__(self, checkpoint: Checkpoint, *, device: torch.device, precision: torch.dtype = torch.float32) -> None:
        """`precision` is of the network's products alone: maps and noisy slices stay in float32."""
        self.checkpoint = checkpoint
        self.device = device
        self.network = checkpoint.score_network().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if precision != torch.float32:
            for module in self.network.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.to(precision)  # autocast would convert its weights anew in every step
            self.network.forward = torch.autocast(device.type, dtype=precision)(self.network.forward)

    @abstractmethod
    def begin(
        self, source: Tensor, *, number: int, draw_noise: NoiseSource, options: TranslationOptions
    ) -> SamplingStart:
        """Where the sample of that number begins.

        Args:
            source: slices (B, 1, H, W) in [0, 1], padded to the network's stride.
            number: of the sample, from 0.
            draw_noise: draws noise of the slices' shape.
            options: how the volume is translated.
        """

    def seen(self, source: SlicedSource) -> SlicedSource:
        """What the method sees of a source."""
        return source

    @property
    def planes(self) -> tuple[str, ...]:
        return (AXIAL,)

    @property
    def batch_size(self) -> int:
        return devices.batch_size(self.device)

    def steps(self, options: TranslationOptions) -> int:
        return options.solver()[1]

    def sample(
        self,
        source: SlicedSource,
        indices: list[int],
        *,
        number: int,
        options: TranslationOptions,
        on_step: Callable[[], None],
    ) -> Tensor:
        padded = self.seen(source).padded(indices, stride=self.network.settings.stride).to(self.device)
        # Neighbouring slices that start from one noise end alike: the volume flickers less from slice to slice.
        draw_noise = shared_noise(_noise_seed(options.seed, number), padded)
        start = self.begin(padded, number=number, draw_noise=draw_noise, options=options)
        sampler, _ = options.solver()
        for state in sampler.solve(start.denoise, start.state, start.noise_levels, draw_noise=draw_noise):
            on_step()
            last = state
        return source.with_air(last, indices)


class LMIDiffusion(DiffusionMethod):
    """The method of this library: from pure noise, steered by the LMI of the source and the slice so far.

    After Wang et al. (arXiv 2404.01102), eq. 3; sample after sample sees the source in another view
    (`test_time_augmentation.sample_view`).
    """

    @property
    def planes(self) -> tuple[str, ...]:
        return self.checkpoint.planes

    def begin(
        self, source: Tensor, *, number: int, draw_noise: NoiseSource, options: TranslationOptions
    ) -> SamplingStart:
        _, steps = options.solver()
        levels = self.checkpoint.sde.noise_levels(steps)
        view = sample_view(number)
        denoise = conditional_denoiser(
            self.network, self.checkpoint.condition, view.of(source), guidance=options.guidance
        )
        return SamplingStart(view.unflipped(denoise), draw_noise() * levels[0].item(), levels)


def _noise_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> np.uint64(1))
