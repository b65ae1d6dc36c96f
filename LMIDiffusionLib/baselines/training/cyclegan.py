"""`train-cyclegan`: training of a CycleGAN on scans of the target modality and a few of the source modality.

This is the one training that reads scans of the source modality, because CycleGAN needs them. They may be of other
subjects than the target scans, and need no registration.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional

from ...images.slice_grid import pad_to, padded_shape
from ...training.augmentation.random_streams import SliceDraws, step_draws
from ...training.augmentation.spatial import Geometry
from ...training.data.batches import BatchMix, CutBatch
from ...training.data.data_module import read_training, sample_slices
from ...training.data.scans import read_scans
from ...training.data.subjects import Subject, find_subjects
from ...training.options import DataOptions, FitOptions
from ...training.trainer import begin_training, spread
from ..cyclegan import KIND, PatchDiscriminator, ResidualGenerator, cyclegan_settings
from .image_pool import ImagePool
from .options import CYCLEGAN_FIT, CycleGANOptions
from .trainer import BaselineTraining, baseline_reading, fit_baseline

# Weights in the generators' loss, beside the adversarial term.
_CYCLE, _IDENTITY = 10.0, 5.0
_POOL_SIZE = 50
_ADAM_BETAS = (0.5, 0.999)
# The sources have no brain masks, so a discriminator could tell skull-stripped slices from whole ones.
_GEOMETRY = Geometry(skull_stripping=0.0)

_TARGET, _SOURCE = "target", "source"
_OTHER = {_TARGET: _SOURCE, _SOURCE: _TARGET}


def train_cyclegan(
    data: Path,
    output: Path,
    options: CycleGANOptions,
    *,
    reading: DataOptions = DataOptions(),
    fit: FitOptions = CYCLEGAN_FIT,
    resume: bool = False,
) -> Path:
    """Train, or resume a training, and export the checkpoint.

    Args:
        data, output, fit, resume: as `training.train.train` takes them.
        options: networks and sources, and the description of the checkpoint.
        reading: how `data` is read; the sources get pixels of the same size.

    Returns:
        Path of the exported checkpoint.

    Raises:
        UserError: the data cannot be used, or the output folder holds another training.
    """
    reading = baseline_reading(reading)
    resume_from = begin_training(output, seed=fit.seed, resume=resume)
    sources = find_subjects(options.source_scans, modality=options.source_modality, brain_suffixes=())
    scans = read_training(data, reading, cache=output / "scans")
    return fit_baseline(
        CycleGANTraining(_source_slices(sources, output, reading), options, fit),
        scans,
        output,
        description=options,
        reading=reading,
        fit=fit,
        resume_from=resume_from,
    )


def _source_slices(subjects: list[Subject], output: Path, reading: DataOptions) -> Tensor:
    as_scanned = dataclasses.replace(reading, correct_bias=False, tissue_levels=None)
    scans = read_scans(subjects, as_scanned, cache=output / "scans", notes={})
    return sample_slices(scans, as_scanned, stride=ResidualGenerator.stride).images


class CycleGANTraining(BaselineTraining):
    """Trains two generators, there and back, against two discriminators, on slices that are not paired.

    Both losses are computed before any step, as in Zhu et al.: the generators' loss does not reach the discriminators,
    nor theirs the generators. So one optimizer serves all networks.
    """

    kind = KIND

    mix = BatchMix(stride=ResidualGenerator.stride)

    def __init__(self, sources: Tensor, options: CycleGANOptions, fit: FitOptions) -> None:
        """
        Args:
            sources: slices (N, 1, H, W) of the source modality, in [0, 1]; targets are padded to their shape.
            options: networks and sources.
            fit: how the networks are trained.
        """
        super().__init__()
        # On slices of one size the amount of air does not give the modality away.
        self.shape = padded_shape((sources.shape[-2], sources.shape[-1]), ResidualGenerator.stride)
        self.sources = pad_to(sources, self.shape)
        self.generators = nn.ModuleDict({side: ResidualGenerator(options.generator) for side in _OTHER})
        self.discriminators = nn.ModuleDict(
            {side: PatchDiscriminator(options.discriminator_features) for side in _OTHER}
        )
        self.pools = nn.ModuleDict({side: ImagePool(_POOL_SIZE, self.shape) for side in _OTHER})
        self.source_modality = options.source_modality
        self.fit = fit

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return Adam with a rate that is constant for half the steps and falls to 0 in the other half."""
        optimizer = torch.optim.Adam(self.parameters(), self.fit.learning_rate, betas=_ADAM_BETAS)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 * (1 - step / self.fit.steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: CutBatch, batch_index: int) -> Tensor:
        """Return the sum of the generators' and the discriminators' losses."""
        images, draws = batch.slices.images, step_draws(self, self.fit.seed, self.global_step)
        with torch.autocast(self.device.type, enabled=False):
            real = self._real(images, draws)
        generating, generated = self._generators_loss(real)
        old = {side: self.pools[side](images.detach(), draws) for side, images in generated.items()}
        discriminating = self._discriminators_loss(real, old)
        self.log_dict({"train/generators": generating, "train/discriminators": discriminating}, prog_bar=True)
        return generating + discriminating

    def _real(self, images: Tensor, draws: SliceDraws) -> dict[str, Tensor]:
        """Return augmented slices of both sides; sources are drawn at random, because nothing is paired."""
        places = (draws.uniform(images) * len(self.sources)).long().cpu()
        slices = {_TARGET: pad_to(images, self.shape), _SOURCE: self.sources[places].to(self.device)}
        return {side: _GEOMETRY.move(each, torch.ones_like(each), draws)[0] for side, each in slices.items()}

    def _generators_loss(self, real: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the generated images of each side."""
        losses: list[Tensor] = []
        generated: dict[str, Tensor] = {}
        for side, other in _OTHER.items():
            generated[side] = self.generators[side](real[other])
            losses.append(_CYCLE * functional.l1_loss(self.generators[other](generated[side]), real[other]))
            losses.append(_IDENTITY * functional.l1_loss(self.generators[side](real[side]), real[side]))
            with _frozen(self.discriminators[side]) as discriminator:
                losses.append((discriminator(generated[side]) - 1).square().mean())
        return torch.stack(losses).sum(), generated

    def _discriminators_loss(self, real: dict[str, Tensor], generated: dict[str, Tensor]) -> Tensor:
        losses: list[Tensor] = []
        for side, discriminator in self.discriminators.items():
            losses.append((discriminator(real[side]) - 1).square().mean() / 2)
            losses.append(discriminator(generated[side]).square().mean() / 2)
        return torch.stack(losses).sum()

    def validation_step(self, batch: CutBatch, batch_index: int) -> None:
        """Log the cycle error of held-out target slices; without pairs there is no other measure."""
        images = pad_to(batch.slices.images, self.shape)
        _, back = self._there_and_back(images, _TARGET)
        self.log("validation/cycle", functional.l1_loss(back, images), sync_dist=True, batch_size=len(images))

    def _there_and_back(self, images: Tensor, side: str) -> tuple[Tensor, Tensor]:
        there = self.generators[_OTHER[side]](images)
        return there, self.generators[side](there)

    def translator(self) -> nn.Module:
        return self.generators[_TARGET]

    def settings(self) -> dict[str, Any]:
        generator = self.generators[_TARGET]
        assert isinstance(generator, ResidualGenerator)
        return cyclegan_settings(generator, self.source_modality)

    def pictures(self, batch: CutBatch) -> list[Tensor]:
        """Return rows of pictures: sources, there and back; held-out targets, there and back."""
        targets = pad_to(batch.slices.images, self.shape)
        sources = spread(self.sources, len(targets)).to(self.device)
        sides = ((_SOURCE, sources), (_TARGET, targets))
        return [row for side, images in sides for row in (images, *self._there_and_back(images, side))]


@contextlib.contextmanager
def _frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Let gradients pass through a module without reaching its parameters."""
    module.requires_grad_(False)
    try:
        yield module
    finally:
        module.requires_grad_(True)
