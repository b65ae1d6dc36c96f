"""SDEdit (Meng et al. 2022): add noise to the source, then denoise it as if it were of the target modality."""

from __future__ import annotations

import torch
from torch import Tensor

from ..model.checkpoint import Checkpoint
from ..model.denoisers import unconditional_denoiser
from ..model.samplers import NoiseSource
from ..translation.lmi_diffusion import DiffusionMethod, SamplingStart
from ..translation.options import TranslationOptions
from ..translation.sliced_volume import SlicedSource
from .intensity_mapping import IntensityMapping


class SDEdit(DiffusionMethod):
    """The checkpoint's score network without its condition, started from the noisy source at time t0.

    SDEdit keeps what is bright bright and what is dark dark. A source whose intensities were mapped before, so that
    they are more like the target's, is kinder to it.
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
            checkpoint: one whose network has also learned to denoise without a condition.
            device: to compute on.
            start: time t0 in (0, 1] at which the source is dropped into the reverse SDE.
            mapping: of the source's intensities before that; None for none.
        """
        super().__init__(checkpoint, device=device)
        self.start = start
        self.mapping = mapping

    def seen(self, source: SlicedSource) -> SlicedSource:
        return source if self.mapping is None else source.with_intensities(self.mapping.map(source.scaled))

    def begin(
        self, source: Tensor, *, number: int, draw_noise: NoiseSource, options: TranslationOptions
    ) -> SamplingStart:
        # The source's own intensities become the result's: another view of them would show in it.
        _, steps = options.solver()
        levels = self.checkpoint.sde.noise_levels(steps, start=self.start)
        return SamplingStart(unconditional_denoiser(self.network), source + draw_noise() * levels[0].item(), levels)
