"""CycleGAN (Zhu et al. 2017): generator, discriminator, and translation by the trained generator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..model.checkpoint_file import StoredCheckpoint, check_limits, check_types
from .feed_forward import FeedForward

KIND = "cyclegan"
_INITIAL_DEVIATION = 0.02


@dataclass(frozen=True)
class GeneratorSettings:
    """Shape of the generator.

    Attributes:
        features: channels of the finest level, doubled in each of two coarser levels. Zhu et al. have 64.
        blocks: residual blocks at the coarsest level. Zhu et al. have 6 at 128 x 128 pixels.
    """

    features: int = 32
    blocks: int = 6


class ResidualGenerator(nn.Module):
    """Maps slices (B, 1, H, W) in [0, 1] to another modality: two steps down, residual blocks, two steps up."""

    stride = 4
    """Divisor of H and W."""

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        self.settings = settings
        fine, middle, coarse = (settings.features * 2**level for level in range(3))
        self.layers = nn.Sequential(
            *_normed(nn.Conv2d(1, fine, 7, padding=3, padding_mode="reflect")),
            *_normed(nn.Conv2d(fine, middle, 3, stride=2, padding=1)),
            *_normed(nn.Conv2d(middle, coarse, 3, stride=2, padding=1)),
            *(ResidualBlock(coarse) for _ in range(settings.blocks)),
            *_normed(nn.ConvTranspose2d(coarse, middle, 3, stride=2, padding=1, output_padding=1)),
            *_normed(nn.ConvTranspose2d(middle, fine, 3, stride=2, padding=1, output_padding=1)),
            nn.Conv2d(fine, 1, 7, padding=3, padding_mode="reflect"),
            nn.Tanh(),
        )
        self.apply(_initialize)

    def forward(self, slices: Tensor) -> Tensor:
        """Translate slices (B, 1, H, W) in [0, 1]."""
        return (self.layers(2 * slices - 1).to(slices.dtype) + 1) / 2


class ResidualBlock(nn.Module):
    """Two normalized convolutions with a shortcut."""

    def __init__(self, features: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(features, features, 3, padding=1, padding_mode="reflect") for _ in range(2))
        self.layers = nn.Sequential(*_normed(first), second, nn.InstanceNorm2d(features))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class PatchDiscriminator(nn.Module):
    """Rates every patch of 70 x 70 pixels of slices (B, 1, H, W) in [0, 1]: near 1 for real, near 0 for generated."""

    def __init__(self, features: int) -> None:
        """`features` is the number of channels of the first layer; Zhu et al. have 64."""
        super().__init__()
        widths = (features, 2 * features, 4 * features, 8 * features)
        layers: list[nn.Module] = [nn.Conv2d(1, features, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before, width, stride in zip(widths, widths[1:], (2, 2, 1), strict=False):
            convolution = nn.Conv2d(before, width, 4, stride=stride, padding=1)
            layers += [convolution, nn.InstanceNorm2d(width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.apply(_initialize)

    def forward(self, slices: Tensor) -> Tensor:
        """Return one value for each patch, (B, 1, h, w)."""
        return self.layers(2 * slices - 1).to(slices.dtype)


def _normed(convolution: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, nn.Module, nn.Module]:
    return convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU()


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=_INITIAL_DEVIATION)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


def cyclegan_settings(generator: ResidualGenerator, source_modality: str) -> dict[str, Any]:
    """Return the settings of a checkpoint of this kind."""
    return {**asdict(generator.settings), "source_modality": source_modality}


def _build(settings: dict[str, Any]) -> ResidualGenerator:
    shape = GeneratorSettings(settings["features"], settings["blocks"])
    check_types(shape)
    check_limits(blocks=shape.blocks)
    return ResidualGenerator(shape)


class CycleGAN(FeedForward):
    """Translation by the trained generator, for sources of the modality that it was trained on."""

    stride = ResidualGenerator.stride

    def __init__(self, checkpoint: StoredCheckpoint, *, device: torch.device) -> None:
        super().__init__(device=device)
        network = checkpoint.network(_build)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(self, source: Tensor, *, number: int) -> Tensor:
        return self.network(source)
