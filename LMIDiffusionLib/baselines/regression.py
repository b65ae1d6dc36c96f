"""Regression in the manner of SynthSR (Iglesias et al. 2023): one pass from a slice of any contrast to the target's.

The network is the score network's U-Net without a noisy slice, so that the difference between the two methods is what
diffusion adds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..model.checkpoint import condition_from_metadata, condition_metadata, network_settings, planes_from_metadata
from ..model.checkpoint_file import StoredCheckpoint
from ..model.conditioning import Condition
from ..model.score_network import NetworkSettings, UNet
from ..translation.test_time_augmentation import sample_view
from .feed_forward import FeedForward

KIND = "regression"


class RegressionNetwork(nn.Module):
    """Estimates the target slice from maps of the source: sigma_data U(maps / sigma_data)."""

    def __init__(self, settings: NetworkSettings, *, noise_level: float) -> None:
        """
        Args:
            settings: shape of the U-Net.
            noise_level: constant input to the U-Net in place of the level of the noise.
        """
        super().__init__()
        self.settings = settings
        self.noise_level = noise_level
        # The score network's first channel is the noisy slice, which a regression lacks.
        self.unet = UNet(dataclasses.replace(settings, condition_channels=settings.condition_channels - 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Return slices (B, 1, H, W) for maps (B, C, H, W), H and W multiples of the settings' stride."""
        level = torch.full((len(maps),), self.noise_level, device=maps.device, dtype=maps.dtype)
        sigma_data = self.settings.sigma_data
        return sigma_data * self.unet(maps / sigma_data, level).to(maps.dtype)


def regression_settings(network: RegressionNetwork, condition: Condition, planes: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a checkpoint of this kind."""
    return {
        "network": dataclasses.asdict(network.settings),
        "noise_level": network.noise_level,
        "condition": condition_metadata(condition),
        "planes": [*planes],
    }


def _build(settings: dict[str, Any]) -> RegressionNetwork:
    return RegressionNetwork(network_settings(settings["network"]), noise_level=float(settings["noise_level"]))


class Regression(FeedForward):
    """Translation by the trained network, whose samples see the source in the views of LMIDiffusion's samples."""

    def __init__(self, checkpoint: StoredCheckpoint, *, device: torch.device) -> None:
        super().__init__(device=device)
        network = checkpoint.network(_build)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.condition = checkpoint.part(lambda settings: condition_from_metadata(settings["condition"]))
        self.stride = network.settings.stride
        self._planes = checkpoint.part(lambda settings: planes_from_metadata(settings["planes"]))

    @property
    def planes(self) -> tuple[str, ...]:
        return self._planes

    def predict(self, source: Tensor, *, number: int) -> Tensor:
        view = sample_view(number)
        return self.network(self.condition.source_maps(view.apply(source))).flip(view.flips)
