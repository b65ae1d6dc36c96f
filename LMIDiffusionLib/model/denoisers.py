"""Denoisers for the solvers: the score network with a source's condition maps, and without."""

from __future__ import annotations

import torch
from torch import Tensor

from .conditioning import Condition
from .samplers import Denoiser
from .score_network import WIDEST_PIXELS, ScoreNetwork


def unconditional_denoiser(network: ScoreNetwork, *, pixel_size: float = WIDEST_PIXELS) -> Denoiser:
    """Return the denoiser of the target modality without a source; all its maps are zero."""

    @torch.no_grad()
    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        level = torch.full((len(noisy),), sigma, dtype=torch.float32, device=noisy.device)
        maps = noisy.new_zeros(len(noisy), network.settings.condition_channels, *noisy.shape[2:])
        return network(noisy, maps, level, pixel_size)

    return denoise


def conditional_denoiser(
    network: ScoreNetwork,
    condition: Condition,
    source: Tensor,
    *,
    guidance: float = 1.0,
    pixel_size: float = WIDEST_PIXELS,
) -> Denoiser:
    """Return the denoiser steered by the maps of `source` (B, 1, H, W) and of the noisy slice.

    A guidance weight w other than 1 extrapolates from the unconditional estimate D_0: D = D_0 + w (D_maps - D_0).
    """
    source_maps = condition.source_maps(source)
    without_source = unconditional_denoiser(network, pixel_size=pixel_size)

    @torch.no_grad()
    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        level = torch.full((len(noisy),), sigma, dtype=torch.float32, device=noisy.device)
        maps = torch.cat([source_maps, condition.noisy_maps(source, noisy)], 1)
        conditional: Tensor = network(noisy, maps, level, pixel_size)
        if guidance == 1:
            return conditional
        unconditional = without_source(noisy, sigma)
        return unconditional + guidance * (conditional - unconditional)

    return denoise
