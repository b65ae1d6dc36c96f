"""Translation by inversion: the generated image that is closest to a source slice.

The optimizer is the projector of Karras et al. 2020: Adam on one code w for each slice from the mean code on, a
learning rate that rises and falls, and noise on the code that fades. In place of LPIPS, whose network was trained on
photographs, the loss compares images at several scales; noise inputs are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...model.checkpoint_file import StoredCheckpoint, check_limits, check_types
from ...model.conditioning import sobel
from ...translation.options import TranslationOptions
from ...translation.sliced_volume import SlicedVolume
from ...translation.translator import Translator
from .fields import HeadWindow, field_shape, to_fields, to_images
from .generator import Generator, StyleGANSettings

KIND = "stylegan-inversion"
DEFAULT_STEPS = 500
FEATURES: dict[str, Callable[[Tensor], Tensor]] = {"intensity": lambda images: images, "sobel": sobel}
"""Features of images (B, 1, H, W) that the loss compares: the paper's, and one that depends less on contrast."""

_SCALES = 4
_LEARNING_RATE = 0.1
_RISE, _FALL = 0.05, 0.25  # shares of the steps
_NOISE, _NOISE_SHARE = 0.05, 0.75  # in standard deviations of w, and of the steps
_CODES_FOR_MEAN = 10_000


def build_generator(settings: dict[str, Any]) -> Generator:
    """Build the generator from a checkpoint's settings."""
    shape = StyleGANSettings(channels=tuple(settings["channels"]), latent=settings["latent"])
    check_types(shape)
    check_limits(levels=len(shape.channels))
    return Generator(shape)


class StyleGANInversion(Translator):
    """Translator that optimizes the code of every slice separately."""

    def __init__(self, baseline: StoredCheckpoint, *, device: torch.device, steps: int, features: str) -> None:
        """
        Args:
            baseline: a checkpoint of this kind.
            device: to compute on.
            steps: number of optimizer steps.
            features: name in `FEATURES`.
        """
        self.device = device
        self.generator = baseline.network(build_generator).to(device)
        self._steps = steps
        self._features = FEATURES[features]

    def steps(self, options: TranslationOptions) -> int:
        return self._steps

    def sample(
        self,
        source: SlicedVolume,
        indices: list[int],
        *,
        number: int,
        options: TranslationOptions,
        on_step: Callable[[], None],
    ) -> Tensor:
        window = HeadWindow.from_source(source)
        targets = to_images(window.cut(source.slices[indices]), self.generator.settings.size).to(self.device)
        draws = torch.Generator(self.device).manual_seed(options.seed * 1_000_003 + number)
        images = self.invert(targets, draws, on_step=on_step)
        translated = window.put_back(to_fields(images.cpu(), field_shape(source.pixel_size)))
        return source.with_air(translated, indices)

    def invert(self, targets: Tensor, draws: torch.Generator, *, on_step: Callable[[], None]) -> Tensor:
        """Find the generator's images (B, 1, size, size) closest to targets of that shape in [-1, 1].

        All slices share the noise on the codes, drawn from `draws`, so that no slice depends on its batch.
        """
        mean, deviation = self._spread_of_codes(draws)
        codes = mean.repeat(len(targets), 1).requires_grad_()
        wanted = [self._features(each) for each in _pyramid(targets)]
        optimizer = torch.optim.Adam([codes], betas=(0.9, 0.999))
        for step in range(self._steps):
            done = step / self._steps
            optimizer.param_groups[0]["lr"] = _LEARNING_RATE * _learning_rate_factor(done)
            noise = torch.randn(mean.shape, generator=draws, device=self.device)
            strength = _NOISE * deviation * max(0.0, 1 - done / _NOISE_SHARE) ** 2
            loss = self._loss(self._draw(codes + strength * noise), wanted)
            (codes.grad,) = torch.autograd.grad(loss, codes)
            optimizer.step()
            on_step()
        with torch.no_grad():
            return self._draw(codes)

    def _draw(self, codes: Tensor) -> Tensor:
        return self.generator(codes[:, None].expand(-1, self.generator.layers, -1))

    def _loss(self, images: Tensor, wanted: list[Tensor]) -> Tensor:
        """Return the squared error, averaged over the pixels of a slice and summed over scales and slices."""
        pairs = zip(_pyramid(images), wanted, strict=True)
        errors = [(self._features(each) - target).square().mean((1, 2, 3)).sum() for each, target in pairs]
        return torch.stack(errors).sum()

    @torch.no_grad()
    def _spread_of_codes(self, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the mean of the codes w (1, D) and their root mean squared distance from it."""
        shape = (_CODES_FOR_MEAN, self.generator.settings.latent)
        codes = self.generator.mapping(torch.randn(shape, generator=draws, device=self.device))
        mean = codes.mean(0, keepdim=True)
        return mean, (codes - mean).square().sum(1).mean().sqrt()


def _pyramid(images: Tensor) -> list[Tensor]:
    """Return images of full, half, quarter and eighth size."""
    return [functional.avg_pool2d(images, 1 << scale) for scale in range(_SCALES)]


def _learning_rate_factor(done: float) -> float:
    """Return the factor of the learning rate at a share of the steps; it rises from 0 to 1 and falls to 0."""
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - done) / _FALL))
    return fall * min(1.0, done / _RISE)
