"""Denoising score matching of the score network (eq. 2), as a Lightning module."""

from __future__ import annotations

import math
from collections.abc import Callable

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from ..model.conditioning import Condition
from ..model.denoisers import conditional_denoiser
from ..model.samplers import SAMPLERS, shared_noise
from ..model.score_network import NetworkSettings, ScoreNetwork
from ..model.sde import VarianceExplodingSDE
from ..translation.test_time_augmentation import sample_view
from .augmentation import Augmentation
from .augmentation.label_targets import LabelTargets
from .augmentation.random_streams import SlabDraws, SliceDraws, step_draws
from .data.batches import CutBatch
from .muon import MuonAdamW
from .options import FitOptions
from .trainer import mean_psnr

# Noise levels are drawn log-normally: most of them lie where the condition decides what the slice looks like.
_LOG_SIGMA_MEAN = 0.5
_LOG_SIGMA_DEVIATION = 1.8
# Translation starts from pure noise: in few steps, what the network sees there decides.
_PURE_NOISE_SHARE = 0.6
_UNCONDITIONAL_SHARE = 0.1
_WARM_UP_STEPS = 100
_PICTURE_STEPS = 15
VALIDATION_SEED = 1
"""Seed of all random numbers of the validation, in any training."""


class ScoreTraining(lightning.LightningModule):
    """Trains a score network on target-modality slices; nothing else can be given to it.

    Everything random in a step (augmentation, noise level, noise, dropped conditions) comes from a generator seeded by
    (seed, step): a resumed training draws what an uninterrupted one would have, and several processes together draw
    what one with all their slices would have.
    """

    def __init__(
        self,
        *,
        network: NetworkSettings,
        condition: Condition,
        sde: VarianceExplodingSDE,
        augmentation: Augmentation,
        fit: FitOptions,
    ) -> None:
        """
        Args:
            network: shape of the U-Net.
            condition: maps that condition the network.
            sde: noise levels.
            augmentation: changes of slices and of the contrast of their copies.
            fit: the steps that the learning rate's schedule spans, its largest value, the seed, and the noise levels.
        """
        super().__init__()
        self.network = ScoreNetwork(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.condition = condition
        self.sde = sde
        self.augmentation = augmentation
        self.fit_options = fit
        self.label_targets = LabelTargets()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return Muon and AdamW with the schedule of the rate."""
        return scheduled(MuonAdamW(self.parameters(), self.fit_options.learning_rate), self.fit_options.steps)

    def training_step(self, batch: CutBatch, batch_index: int) -> Tensor:
        """Return the weighted squared error of the denoised slices."""
        draws = step_draws(self, self.fit_options.seed, self.global_step)
        # Half precision is for the network alone.
        with torch.autocast(self.device.type, enabled=False):
            slices, copies = self.changed(batch, draws)
            dropped = draws.uniform(slices) < _UNCONDITIONAL_SHARE
            sigma = self._draw_sigma(slices, dropped, draws)
            maps, noisy = self._perturb(slices, copies, sigma, draws)
            maps = torch.where(dropped.view(-1, 1, 1, 1), 0, maps)
        loss = self._losses(slices, noisy, maps, sigma, batch.pixels.size).mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def changed(self, batch: CutBatch, draws: SliceDraws) -> tuple[Tensor, Tensor]:
        """Return moved target slices, and copies of them in another contrast, on the batch's pixels (B, 1, H, W)."""
        slices = batch.slices
        if batch.is_drawn:
            pixels = batch.pixels
            slices = self.label_targets(slices, SlabDraws(draws, pixels.parts), spacing=pixels.spacing)
        return self.augmentation(slices, draws, pixels=batch.pixels)

    def validation_step(self, batch: CutBatch, batch_index: int) -> None:
        """Log the error on held-out slices at fixed noise levels, and the PSNR of the estimate from pure noise."""
        draws = step_draws(self, VALIDATION_SEED, batch_index)
        with torch.autocast(self.device.type, enabled=False):
            slices, copies = self.changed(batch, draws)
        for name, level in (("0.05", 0.05), ("0.3", 0.3), ("1", 1.0), ("max", self.sde.sigma_max)):
            sigma = torch.full((len(slices),), level, device=self.device)
            with torch.autocast(self.device.type, enabled=False):
                maps, noisy = self._perturb(slices, copies, sigma, draws)
            loss = self._losses(slices, noisy, maps, sigma, batch.pixels.size).mean()
            self.log(f"validation/loss_{name}", loss, sync_dist=True, batch_size=len(slices))
        psnr = mean_psnr(self.network(noisy, maps, sigma, batch.pixels.size), slices)
        self.log("validation/psnr_from_noise", psnr, sync_dist=True, prog_bar=True, batch_size=len(slices))

    @torch.no_grad()
    def pictures(self, batch: CutBatch) -> list[Tensor]:
        """Return rows of pictures: copies in another contrast, one-step means, samples, true slices."""
        slices, copies = self.changed(batch, SliceDraws(torch.Generator(self.device).manual_seed(0)))
        noise = shared_noise(0, slices)
        denoise = conditional_denoiser(self.network, self.condition, copies, pixel_size=batch.pixels.size)
        rows = [copies]
        for steps in (1, _PICTURE_STEPS):
            levels = self.sde.noise_levels(steps)
            *_, images = SAMPLERS["dpm-solver++"].solve(denoise, noise() * levels[0], levels, draw_noise=noise)
            rows.append(images)
        return [*rows, slices]

    @torch.no_grad()
    def estimate(self, sources: Tensor, pixel_size: float) -> Tensor:
        """Translate slices (B, 1, H, W) in one step from noise, as the first sample of a translation is."""
        view, level = sample_view(0), self.sde.sigma_max
        steered = conditional_denoiser(self.network, self.condition, view.apply(sources), pixel_size=pixel_size)
        return view.unflipped(steered)(level * shared_noise(0, sources)(), level)

    def _draw_sigma(self, slices: Tensor, dropped: Tensor, draws: SliceDraws) -> Tensor:
        """Draw noise levels; without a source evenly, because no level matters more than others there."""
        normal, place = draws.normal(slices), draws.uniform(slices)
        sigma = (_LOG_SIGMA_MEAN + _LOG_SIGMA_DEVIATION * normal).exp().clamp(self.sde.sigma_min, self.sde.sigma_max)
        conditional = torch.where(draws.uniform(slices) < _PURE_NOISE_SHARE, self.sde.sigma_max, sigma)
        return torch.where(dropped, self.sde.sigma(place), conditional)

    def _perturb(self, slices: Tensor, copies: Tensor, sigma: Tensor, draws: SliceDraws) -> tuple[Tensor, Tensor]:
        """Return condition maps of the copies, and noisy slices."""
        noise = draws.normal(slices, *slices.shape[1:])
        noisy = slices + sigma.view(-1, 1, 1, 1) * noise
        return self.condition.all_maps(copies, noisy), noisy

    def _losses(self, slices: Tensor, noisy: Tensor, maps: Tensor, sigma: Tensor, pixel_size: float) -> Tensor:
        error = (self.network(noisy, maps, sigma, pixel_size) - slices).square().mean((1, 2, 3))
        return self.network.loss_weight(sigma) * error


def scheduled(
    optimizer: torch.optim.Optimizer, steps: int, *, warm_up: int = _WARM_UP_STEPS
) -> OptimizerLRSchedulerConfig:
    """Schedule an optimizer: linear warm-up, cosine decay to a hundredth, one step per batch."""
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_up_and_cosine(steps, warm_up=warm_up))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def warm_up_and_cosine(steps: int, *, warm_up: int = _WARM_UP_STEPS) -> Callable[[int], float]:
    """Return the factor of the learning rate at each step."""

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / warm_up) * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, step / steps))) / 2)

    return factor
