"""`train-regression`: training of a regression on scans of the target modality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UserError
from ...model.checkpoint import Checkpoint
from ...model.conditioning import SOURCE_MAPS, Condition
from ...model.score_network import NetworkSettings
from ...training.augmentation import AUGMENTATIONS, Augmentation
from ...training.augmentation.random_streams import SliceDraws, step_draws
from ...training.data.batches import BatchMix, CutBatch
from ...training.data.data_module import read_training, sample_slices
from ...training.lightning_module import VALIDATION_SEED, scheduled
from ...training.muon import MuonAdamW
from ...training.options import DataOptions, FitOptions, ModelOptions
from ...training.train import condition_of_options, network_shape, with_deviation
from ...training.trainer import GRADIENT_NORM, begin_training, mean_psnr
from ...training.warm_start import start_from, start_of
from ..regression import KIND, RegressionNetwork, regression_settings
from .options import REGRESSION_MODEL
from .trainer import BaselineTraining, baseline_reading, fit_baseline


def train_regression(
    data: Path,
    output: Path,
    *,
    reading: DataOptions = DataOptions(),
    model: ModelOptions = REGRESSION_MODEL,
    fit: FitOptions = FitOptions(),
    resume: bool = False,
) -> Path:
    """Train, or resume a training, and export the checkpoint, with the arguments of `training.train.train`.

    Raises:
        UserError: the data cannot be used, a map needs a noisy slice, or the output folder holds another training.
    """
    condition = condition_of_options(model)
    if "cross" in condition.maps:
        raise UserError(f"A regression has no noisy slice for the map cross; choose from {', '.join(SOURCE_MAPS)}.")
    start = start_of(model)
    resume_from = begin_training(output, seed=fit.seed, resume=resume)
    shape, reading = network_shape(model, condition, start), baseline_reading(reading, planes=reading.planes)
    scans = read_training(data, reading, cache=output / "scans")
    slices = sample_slices(scans[0], reading, stride=shape.stride).images
    network = _network(with_deviation(shape, slices, start), condition, start)
    return fit_baseline(
        RegressionTraining(network, condition, fit, planes=reading.planes),
        scans,
        output,
        description=model,
        reading=reading,
        fit=fit,
        resume_from=resume_from,
    )


def _network(settings: NetworkSettings, condition: Condition, start: Checkpoint | None) -> RegressionNetwork:
    if start is None:
        return RegressionNetwork(settings, noise_level=0.0)
    # At pure noise a score network is a regression, so the network is given that noise level as a constant.
    network = RegressionNetwork(settings, noise_level=math.log(start.sde.sigma_max) / 4)
    start_from(network, condition.channels, start)
    return network


class RegressionTraining(BaselineTraining):
    """Trains a regression on target-modality slices and synthetic sources of other contrasts, by the L1 error."""

    kind = KIND
    gradient_norm = GRADIENT_NORM

    def __init__(
        self, network: RegressionNetwork, condition: Condition, fit: FitOptions, *, planes: Sequence[str]
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.condition = condition
        self.augmentation: Augmentation = AUGMENTATIONS[fit.contrast]
        self.fit = fit
        self.planes = planes
        self.mix = BatchMix(stride=network.settings.stride)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return Muon and AdamW with the schedule of the rate."""
        return scheduled(MuonAdamW(self.parameters(), self.fit.learning_rate), self.fit.steps)

    def training_step(self, batch: CutBatch, batch_index: int) -> Tensor:
        """Return the mean absolute error of the estimated slices."""
        slices, _, estimate = self._estimate(batch, step_draws(self, self.fit.seed, self.global_step))
        loss = functional.l1_loss(estimate, slices)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: CutBatch, batch_index: int) -> None:
        """Log mean absolute error and PSNR on held-out slices, in contrasts drawn from a fixed seed."""
        slices, _, estimate = self._estimate(batch, step_draws(self, VALIDATION_SEED, batch_index))
        size = len(slices)
        self.log("validation/loss", functional.l1_loss(estimate, slices), sync_dist=True, batch_size=size)
        psnr = mean_psnr(estimate, slices)
        self.log("validation/psnr", psnr, sync_dist=True, prog_bar=True, batch_size=size)

    def _estimate(self, batch: CutBatch, draws: SliceDraws) -> tuple[Tensor, Tensor, Tensor]:
        """Return moved target slices, copies in another contrast, and what the network makes of these."""
        with torch.autocast(self.device.type, enabled=False):
            slices, copies = self.augmentation(batch.slices, draws, pixels=batch.pixels)
            maps = self.condition.source_maps(copies)
        return slices, copies, self.network(maps)

    def translator(self) -> nn.Module:
        return self.network

    def settings(self) -> dict[str, Any]:
        return regression_settings(self.network, self.condition, self.planes)

    def pictures(self, batch: CutBatch) -> list[Tensor]:
        """Return rows of pictures: synthetic sources, estimates, true slices."""
        slices, copies, estimates = self._estimate(batch, step_draws(self, VALIDATION_SEED))
        return [copies, estimates, slices]
