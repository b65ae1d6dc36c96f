"""SDEdit (Meng et al. 2022): noise is added to the source and removed as if the source were of the target modality."""

from __future__ import annotations

import torch
from torch import Tensor

from ..model.checkpoint import Checkpoint
from ..model.denoisers import unconditional_denoiser
from ..model.samplers import NoiseSource
from ..translation.lmi_diffusion import DiffusionTranslator, SamplingStart
from ..translation.options import TranslationOptions
from ..translation.sliced_volume import SlicedVolume
from .intensity_mapping import IntensityMapping


class SDEdit(DiffusionTranslator):
    """The checkpoint's score network without its condition, started from the noisy source at time t0.

    SDEdit keeps bright tissue bright and dark tissue dark. Mapping the source's intensities toward the target's first
    helps it.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        start: float,
        mapping: IntensityMapping | None = None,
    ) -> None:
        """
        Args:
            checkpoint: model whose network has also learned to denoise without a condition.
            device: to compute on.
            start: time t0 in (0, 1] at which the reverse SDE starts from the noisy source.
            mapping: applied to the source's intensities first; None for no mapping.
        """
        super().__init__(checkpoint, device=device)
        self.start = start
        self.mapping = mapping

    def seen(self, source: SlicedVolume) -> SlicedVolume:
        return source if self.mapping is None else source.with_intensities(self.mapping.map(source.scaled))

    def begin(
        self, source: Tensor, *, number: int, draw_noise: NoiseSource, options: TranslationOptions, pixel_size: float
    ) -> SamplingStart:
        # The result keeps the source's intensities, so every sample starts from the same view.
        _, steps = options.solver()
        levels = self.checkpoint.sde.noise_levels(steps, start=self.start)
        denoise = unconditional_denoiser(self.network, pixel_size=pixel_size)
        return SamplingStart(denoise, source + draw_noise() * levels[0].item(), levels)
