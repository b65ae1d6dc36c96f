"""Adversarial training of generator and discriminator, as a Lightning module."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...images.slice_grid import pad_to
from ...training.augmentation import Augmentation
from ...training.augmentation.intensity_curves import ToneCurves
from ...training.augmentation.random_streams import SliceDraws, step_draws
from ...training.augmentation.scanner_artifacts import Scanner
from ...training.augmentation.spatial import Geometry
from ...training.data.batches import BatchMix, CutBatch
from ..stylegan.fields import field_shape, to_images
from ..stylegan.generator import Generator, StyleGANSettings
from ..stylegan.inversion import KIND
from .adaptive_augmentation import AdaptiveAugmentation
from .stylegan_discriminator import Discriminator
from .stylegan_losses import PathLengthPenalty, path_lengths, r1_penalty
from .trainer import BaselineTraining

# Heads are mirrored, and some skull-stripped; the adaptive augmentation rotates them.
_AUGMENTATION = Augmentation(
    geometry=Geometry(unmoved=1.0), tone_curves=ToneCurves(unchanged=1.0), scanner=Scanner(0.0, 0.0, 0.0, 0.0)
)
_ADAM_BETAS = (0.0, 0.99)
_R1_INTERVAL = 16
_R1_WEIGHT = 0.0001  # per pixel, divided by the batch size
_PATH_INTERVAL = 8
_PATH_WEIGHT = 2.0
_MIXED_SHARE = 0.9
_PICTURE_ROWS = 4


class StyleGANTraining(BaselineTraining):
    """Trains both networks on target-modality slices alone.

    Both losses are computed before any step: the generator's loss does not reach the discriminator, nor the
    discriminator's the generator. So one optimizer serves both networks.
    R1 and path lengths are added to the loss of every 16th and 8th step.
    """

    kind = KIND
    mix = BatchMix(stride=1, aspect=0.0, shift=0.0)

    def __init__(self, settings: StyleGANSettings, *, pixel_size: float, learning_rate: float, seed: int) -> None:
        """
        Args:
            settings: shape of the networks.
            pixel_size: side of the slices' pixels in millimeters.
            learning_rate: of both networks.
            seed: random seed.
        """
        super().__init__()
        self.generator = Generator(settings)
        self.discriminator = Discriminator(settings)
        self.adaptive = AdaptiveAugmentation()
        self.path_penalty = PathLengthPenalty()
        self.pixel_size, self.learning_rate, self.seed = pixel_size, learning_rate, seed

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.learning_rate, betas=_ADAM_BETAS)

    def training_step(self, batch: CutBatch, batch_index: int) -> Tensor:
        """Return the sum of both networks' losses."""
        step = self.global_step
        draws = step_draws(self, self.seed, step)
        real = self._images(_AUGMENTATION(batch.slices, draws, pixels=batch.pixels)[0])
        drawn = self.generator(*self._inputs(real, draws))
        discriminating = self._discriminator_loss(real, drawn.detach(), draws, step)
        self.adaptive.adapt(step)
        generating = self._generator_loss(drawn, draws, step)
        losses = {"train/discriminator": discriminating, "train/generator": generating}
        self.log_dict({**losses, "train/augmentation": self.adaptive.probability}, prog_bar=True)
        return discriminating + generating

    def validation_step(self, batch: CutBatch, batch_index: int) -> None:
        """Log the mean sign of the logits of held-out slices; it falls below that of training slices by overfitting."""
        signs = self.discriminator(self._images(batch.slices.images)).sign()
        self.log("validation/sign", signs.mean(), prog_bar=True)

    def translator(self) -> nn.Module:
        return self.generator

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self.generator.settings)

    def pictures(self, batch: CutBatch) -> list[Tensor]:
        """Return rows of pictures: generated images, then held-out slices."""
        real = self._images(batch.slices.images)
        draws = SliceDraws(torch.Generator(self.device).manual_seed(0))
        drawn = [self.generator(*self._inputs(real, draws)) for _ in range(_PICTURE_ROWS)]
        return [(images + 1) / 2 for images in (*drawn, real)]

    def _images(self, slices: Tensor) -> Tensor:
        return to_images(pad_to(slices, field_shape(self.pixel_size)), self.generator.settings.size)

    def _discriminator_loss(self, real: Tensor, drawn: Tensor, draws: SliceDraws, step: int) -> Tensor:
        changed = self.adaptive(real, draws)
        real_logits = self.discriminator(changed)
        self.adaptive.observe(real_logits)
        drawn_logits = self.discriminator(self.adaptive(drawn, draws))
        loss = functional.softplus(-real_logits).mean() + functional.softplus(drawn_logits).mean()
        if step % _R1_INTERVAL:
            return loss
        # With respect to the augmented images: the augmentation itself has no second derivative.
        weight = _R1_WEIGHT * real[0].numel() / len(real)
        return loss + _R1_INTERVAL * weight * r1_penalty(self.discriminator, changed)

    def _generator_loss(self, drawn: Tensor, draws: SliceDraws, step: int) -> Tensor:
        self.discriminator.requires_grad_(False)
        loss = functional.softplus(-self.discriminator(self.adaptive(drawn, draws))).mean()
        self.discriminator.requires_grad_(True)
        if step % _PATH_INTERVAL:
            return loss
        codes, noise = self._inputs(drawn[: max(1, len(drawn) // 2)], draws)
        images = self.generator(codes, noise)
        lengths = path_lengths(images, codes, draws.normal(images, *images.shape[1:]))
        return loss + _PATH_INTERVAL * _PATH_WEIGHT * self.path_penalty(lengths)

    def _inputs(self, like: Tensor, draws: SliceDraws) -> tuple[Tensor, list[Tensor]]:
        """Draw codes w (B, layers, D), most of them mixed from two, and noise, for as many images as in `like`."""
        network = self.generator
        first, second = (network.mapping(draws.normal(like, network.settings.latent))[:, None] for _ in range(2))
        chance, place = draws.uniform(like, 2, 1, 1).unbind(1)
        crossover = torch.where(chance < _MIXED_SHARE, 1 + place * (network.layers - 1), network.layers)
        layer = torch.arange(network.layers, device=like.device)[None, :, None]
        codes = torch.where(layer < crossover.floor(), first, second)
        return codes, [draws.normal(like, *shape) for shape in network.noise_shapes()]
