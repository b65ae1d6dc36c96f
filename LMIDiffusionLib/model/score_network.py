"""The score network s_theta(F_t, LMI maps, sigma): a preconditioned U-Net.

The network is trained as a denoiser; `sde.score` turns its estimate into the score. Preconditioning and loss weighting
follow Karras et al. 2022 (EDM): inputs, outputs and gradients keep about unit size at every sigma. The maps are divided
by sigma_data, because they spread about as the slices do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDEST_PIXELS = 2.0
"""Side in millimeters of the largest pixels of the bundled networks; lengths in pixels are meant for these."""


@dataclass(frozen=True)
class NetworkSettings:
    """Shape of the U-Net.

    Attributes:
        channels: features of each level, finest first; each level halves the resolution.
        blocks: residual blocks a level, in the encoder; the decoder has one more.
        unshuffle: side of the pixel blocks folded into channels before the finest level.
        attention_heads: heads of the self-attention at the coarsest level.
        sigma_data: standard deviation of the training slices, in [0, 1].
        condition_channels: number of condition maps.
        finest_pixel_size: of a network that is told the side of the pixels, the least it was trained for, in
            millimeters; None for a network of one size.
    """

    channels: tuple[int, ...] = (48, 96, 160)
    blocks: int = 1
    unshuffle: int = 2
    attention_heads: int = 4
    sigma_data: float = 0.25
    condition_channels: int = 2
    finest_pixel_size: float | None = None

    @property
    def stride(self) -> int:
        """Height and width of the slices must be multiples of it."""
        return int(self.unshuffle * 2 ** (len(self.channels) - 1))


class ScoreNetwork(nn.Module):
    """Denoiser D(F_t, maps, sigma) = c_skip F_t + c_out U(c_in F_t, maps, log sigma)."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.unet = UNet(settings)

    def forward(self, noisy: Tensor, maps: Tensor, sigma: Tensor, pixel_size: float = WIDEST_PIXELS) -> Tensor:
        """Estimate E[F_0 | F_t, maps].

        Args:
            noisy: slices F_t (B, 1, H, W), H and W multiples of the settings' stride.
            maps: condition maps (B, C, H, W); all zero for the unconditional estimate.
            sigma: noise levels (B,), in image intensity.
            pixel_size: side of the slices' pixels in millimeters, for a network that is told.

        Returns:
            Denoised slices (B, 1, H, W).
        """
        sigma_data = self.settings.sigma_data
        sigma = sigma.to(noisy.dtype).view(-1, 1, 1, 1)
        total = sigma**2 + sigma_data**2
        skip, out = sigma_data**2 / total, sigma * sigma_data / total.sqrt()
        images = torch.cat([noisy / total.sqrt(), maps / sigma_data], 1)
        estimate = self.unet(images, sigma.log().flatten() / 4, math.log2(pixel_size))
        return skip * noisy + out * estimate.to(noisy.dtype)

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """Return the weight of the denoised slice's squared error at which all noise levels count alike."""
        sigma_data = self.settings.sigma_data
        return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


class UNet(nn.Module):
    """U-Net with residual blocks modulated by the noise level, and self-attention at the coarsest level."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        widths, folded = settings.channels, settings.unshuffle**2
        embedding = 4 * widths[0]
        self.noise_embedding = NoiseEmbedding(embedding)
        self.size_embedding = _silenced(NoiseEmbedding(embedding)) if settings.finest_pixel_size else None
        self.fold = nn.PixelUnshuffle(settings.unshuffle)
        self.unfold = nn.PixelShuffle(settings.unshuffle)
        self.first = nn.Conv2d(folded * (1 + settings.condition_channels), widths[0], 3, padding=1)
        self.encoder = nn.ModuleList()
        self.decoder = nn.ModuleList()
        skips = [widths[0]]
        features = widths[0]
        for level, width in enumerate(widths):
            if level > 0:
                self.encoder.append(Downsample(features))
                skips.append(features)
            for _ in range(settings.blocks):
                self.encoder.append(ResidualBlock(features, width, embedding))
                features = width
                skips.append(features)
        self.middle = nn.ModuleList(
            [
                ResidualBlock(features, features, embedding),
                SelfAttention(features, settings.attention_heads),
                ResidualBlock(features, features, embedding),
            ]
        )
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(settings.blocks + 1):
                self.decoder.append(ResidualBlock(features + skips.pop(), width, embedding))
                features = width
            if level > 0:
                self.decoder.append(Upsample(features))
        self.last = nn.Sequential(_norm(features), nn.SiLU(), _zeroed(nn.Conv2d(features, folded, 3, padding=1)))

    def forward(self, images: Tensor, noise_level: Tensor, size_level: float = 1.0) -> Tensor:
        embedding = self.noise_embedding(noise_level)
        if self.size_embedding is not None:
            embedding = embedding + self.size_embedding(torch.full_like(noise_level, size_level))
        features = self.first(self.fold(images))
        skips = [features]
        for module in self.encoder:
            features = module(features, embedding)
            skips.append(features)
        for module in self.middle:
            features = module(features, embedding)
        for module in self.decoder:
            if isinstance(module, ResidualBlock):
                features = torch.cat([features, skips.pop()], 1)
            features = module(features, embedding)
        return self.unfold(self.last(features))


class NoiseEmbedding(nn.Module):
    """Fourier features of the noise level (B,) through a small perceptron, (B, width)."""

    frequencies: Tensor

    def __init__(self, width: int, count: int = 16) -> None:
        super().__init__()
        # torch.logspace would load torch's compiler where weights are checked on the device "meta".
        octaves = [2 * step / (count - 1) - 1 for step in range(count)]
        frequencies = torch.tensor([math.pi * 2**each for each in octaves], dtype=torch.float32)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.perceptron = nn.Sequential(nn.Linear(2 * count, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, noise_level: Tensor) -> Tensor:
        angles = noise_level[:, None] * self.frequencies
        return self.perceptron(torch.cat([angles.cos(), angles.sin()], 1))


class ResidualBlock(nn.Module):
    """Two normalized convolutions with a shortcut; the noise level scales and shifts the features between them."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.before = nn.Sequential(_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm = _norm(outputs)
        self.after = nn.Sequential(nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        modulated = self.norm(self.before(features)) * (1 + scale) + shift
        return self.shortcut(features) + self.after(modulated)


class SelfAttention(nn.Module):
    """Multi-head self-attention over all positions, with a shortcut."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = math.gcd(heads, features)
        self.norm = _norm(features)
        self.project_in = nn.Conv2d(features, 3 * features, 1)
        self.project_out = nn.Conv2d(features, features, 1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        batch, _, height, width = features.shape
        heads = self.project_in(self.norm(features)).view(batch, 3, self.heads, -1, height * width).transpose(3, 4)
        attended = functional.scaled_dot_product_attention(*heads.unbind(1))
        return features + self.project_out(attended.transpose(2, 3).reshape(batch, -1, height, width))


class Downsample(nn.Module):
    """Convolution that halves height and width."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(features, features, 3, stride=2, padding=1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        return self.convolution(features)


class Upsample(nn.Module):
    """Nearest-neighbor upsampling that doubles height and width, and a convolution."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        return self.convolution(functional.interpolate(features, scale_factor=2.0, mode="nearest"))


def _norm(features: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(max(1, features // 16), features), features)


def _silenced(embedding: NoiseEmbedding) -> NoiseEmbedding:
    """Start without effect, so that a network that learns of pixel sizes starts as one that does not."""
    last = embedding.perceptron[2]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return embedding


def _zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    """Set a convolution to zero, so that an untrained network returns the skip connection alone."""
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution
