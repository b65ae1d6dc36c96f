"""LMIDiffusion, and the base class of translators that sample from the score network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..interface.resources import DEFAULT_CHECKPOINT
from ..model import devices
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.denoisers import conditional_denoiser
from ..model.samplers import Denoiser, NoiseSource, shared_noise
from .options import TranslationOptions
from .sliced_volume import SlicedVolume
from .test_time_augmentation import sample_view
from .translator import Translator


@dataclass(frozen=True)
class SamplingStart:
    """Input of a solver: the denoiser, the noisy slices (B, 1, H, W) and the noise levels, from theirs on."""

    denoise: Denoiser
    state: Tensor
    noise_levels: Tensor


class DiffusionTranslator(Translator):
    """Translator that runs the reverse SDE of a checkpoint's score network on one device."""

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path = DEFAULT_CHECKPOINT,
        *,
        device: torch.device | str = "auto",
        precision: torch.dtype | str = torch.float32,
    ) -> None:
        """
        Args:
            checkpoint: the model, its name, or its path.
            device: to compute on, as `select_device` takes it.
            precision: of the network's matrix products, as `select_precision` takes it; condition maps and noisy slices
                stay in float32.

        Raises:
            UserError: there is no such checkpoint or device.
        """
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else load_checkpoint(checkpoint)
        self.device = devices.select_device(device) if isinstance(device, str) else device
        if isinstance(precision, str):
            precision = devices.select_precision(precision, self.device)
        self.network = self.checkpoint.score_network().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if precision != torch.float32:
            for module in self.network.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.to(precision)  # autocast would convert its weights anew in every step
            self.network.forward = torch.autocast(self.device.type, dtype=precision)(self.network.forward)

    @abstractmethod
    def begin(
        self, source: Tensor, *, number: int, draw_noise: NoiseSource, options: TranslationOptions, pixel_size: float
    ) -> SamplingStart:
        """Return the start of a sample.

        Args:
            source: slices (B, 1, H, W) in [0, 1], padded to the network's stride.
            number: of the sample, from 0.
            draw_noise: draws noise of the slices' shape.
            options: of the translation.
            pixel_size: side of the slices' pixels in millimeters.
        """

    def seen(self, source: SlicedVolume) -> SlicedVolume:
        """Return the volume that the network is given in place of a source; the source unless overridden."""
        return source

    def steps(self, options: TranslationOptions) -> int:
        return options.solver()[1]

    def sample(
        self,
        source: SlicedVolume,
        indices: list[int],
        *,
        number: int,
        options: TranslationOptions,
        on_step: Callable[[], None],
    ) -> Tensor:
        padded = self.seen(source).padded(indices, stride=self.network.settings.stride).to(self.device)
        # Slices that start from the same noise end alike: the volume flickers less from slice to slice.
        draw_noise = shared_noise(_noise_seed(options.seed, number), padded)
        start = self.begin(padded, number=number, draw_noise=draw_noise, options=options, pixel_size=source.pixel_size)
        sampler, _ = options.solver()
        for state in sampler.solve(start.denoise, start.state, start.noise_levels, draw_noise=draw_noise):
            on_step()
            last = state
        return source.with_air(last, indices)


class LMIDiffusion(DiffusionTranslator):
    """Translator that starts from noise and is steered by the LMI of the source and the slice so far.

    After Wang et al. (arXiv 2404.01102), eq. 3; each sample sees the source in another view
    (`test_time_augmentation.sample_view`).
    """

    @property
    def planes(self) -> tuple[str, ...]:
        return self.checkpoint.planes

    def begin(
        self, source: Tensor, *, number: int, draw_noise: NoiseSource, options: TranslationOptions, pixel_size: float
    ) -> SamplingStart:
        _, steps = options.solver()
        levels = self.checkpoint.sde.noise_levels(steps)
        view = sample_view(number)
        denoise = conditional_denoiser(
            self.network,
            self.checkpoint.condition,
            view.apply(source),
            guidance=options.guidance,
            pixel_size=pixel_size,
        )
        return SamplingStart(view.unflipped(denoise), draw_noise() * levels[0].item(), levels)


def _noise_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> np.uint64(1))
