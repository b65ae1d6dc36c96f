"""The generator: a mapping network and a synthesis network with skips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from .layers import Linear, activate, doubled, modulated_convolution

_SMALLEST = 4  # pixels
_MAPPING_LAYERS = 2
_MAPPING_RATE = 0.01


@dataclass(frozen=True)
class StyleGANSettings:
    """Shape of the networks.

    Attributes:
        channels: at 4, 8, 16, ... pixels; the last number is for the full size of the images.
        latent: length of a latent code.
    """

    channels: tuple[int, ...] = (64, 64, 32, 24, 12)
    latent: int = 128

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return _SMALLEST << (len(self.channels) - 1)


class Mapping(nn.Module):
    """Maps a normally distributed code z to the code w that controls the synthesis."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(latent, latent, rate=_MAPPING_RATE) for _ in range(_MAPPING_LAYERS))

    def forward(self, codes: Tensor) -> Tensor:
        """Map codes (B, D) to codes (B, D)."""
        codes = codes * (codes.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            codes = activate(layer(codes))
        return codes


class StyledConvolution(nn.Module):
    """A modulated convolution with noise, bias and activation."""

    def __init__(self, inputs: int, outputs: int, *, latent: int, double: bool) -> None:
        super().__init__()
        self.style = Linear(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self._double = double

    def forward(self, features: Tensor, code: Tensor, noise: Tensor | None) -> Tensor:
        features = modulated_convolution(features, self.weight, self.style(code), double=self._double)
        if noise is not None:
            features = features + noise * self.noise_strength
        return activate(features + self.bias[:, None, None])


class ToImage(nn.Module):
    """A modulated convolution of 1 x 1 to intensities."""

    def __init__(self, inputs: int, *, latent: int) -> None:
        super().__init__()
        self.style = Linear(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(1, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1))
        self._gain = inputs**-0.5

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        styles = self.style(code) * self._gain
        return modulated_convolution(features, self.weight, styles, demodulate=False) + self.bias[:, None, None]


class Generator(nn.Module):
    """Generates images (B, 1, size, size), about [-1, 1], from codes w, one for each of `layers`."""

    def __init__(self, settings: StyleGANSettings) -> None:
        super().__init__()
        self.settings = settings
        channels, latent = settings.channels, settings.latent
        self.mapping = Mapping(latent)
        self.constant = nn.Parameter(torch.randn(channels[0], _SMALLEST, _SMALLEST))
        convolutions = [StyledConvolution(channels[0], channels[0], latent=latent, double=False)]
        for coarse, fine in pairwise(channels):
            convolutions.append(StyledConvolution(coarse, fine, latent=latent, double=True))
            convolutions.append(StyledConvolution(fine, fine, latent=latent, double=False))
        self.convolutions = nn.ModuleList(convolutions)
        self.to_image = nn.ModuleList(ToImage(each, latent=latent) for each in channels)
        self.layers = len(convolutions) + 1

    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """Return the shape of one image's noise for each convolution."""
        sizes = [_SMALLEST << ((number + 1) // 2) for number in range(len(self.convolutions))]
        return [(1, size, size) for size in sizes]

    def forward(self, codes: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Generate images.

        Args:
            codes: w, (B, layers, D).
            noise: (B, *shape) for each of `noise_shapes`; None for no noise.
        """
        given: Sequence[Tensor | None] = noise or [None] * len(self.convolutions)
        features = self.constant.expand(len(codes), -1, -1, -1)
        features = self.convolutions[0](features, codes[:, 0], given[0])
        image: Tensor = self.to_image[0](features, codes[:, 1])
        for level in range(1, len(self.to_image)):
            for number in (2 * level - 1, 2 * level):
                features = self.convolutions[number](features, codes[:, number], given[number])
            image = doubled(image) + self.to_image[level](features, codes[:, 2 * level + 1])
        return image
