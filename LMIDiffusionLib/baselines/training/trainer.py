"""What the trainings of rivals have in common: the product's data and trainer, and a checkpoint of their own kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, Timer
from torch import nn

from ...training.callbacks import HeldOutPictures, Pictured
from ...training.data.dataset import SliceSet
from ...training.options import DataOptions, FitOptions
from ...training.trainer import TrainingData, fit_module, make_trainer
from ..baseline_checkpoint import RivalCheckpoint, RivalTrainingRecord, save_rival


class RivalTraining(lightning.LightningModule, Pictured, ABC):
    """A training of a rival, as `fit_rival` takes it."""

    kind: str
    """Of the checkpoint, as the benchmark calls the method."""
    gradient_norm: float | None = None
    """To which gradients are clipped; None leaves them."""

    @abstractmethod
    def translator(self) -> nn.Module:
        """The network that translates, whose weights the checkpoint keeps."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What it is built from, as plain JSON types."""


def fit_rival(  # noqa: PLR0913
    module: RivalTraining,
    slices: tuple[SliceSet, SliceSet],
    path: Path,
    *,
    reading: DataOptions,
    fit: FitOptions,
    resume_from: Path | None,
    training_data: str,
    licence: str,
) -> Path:
    """Train a rival, or go on, and export its checkpoint to `path`, beside logs, pictures and the state to resume from.

    Args:
        module: what is trained.
        slices: of the target modality, to train on and held out.
        path: of the checkpoint, in the training's own folder.
        reading: how the slices were read.
        fit: how it is trained.
        resume_from: a state to go on from.
        training_data: what the data are, for the checkpoint.
        licence: of the weights.
    """
    timer = Timer(verbose=False)
    record = RivalTrainingRecord(training_data, licence, 0, 0.0)
    exporter = RivalExporter(path, reading, record, timer)
    callbacks = [timer, exporter, HeldOutPictures(slices[1], path.parent / "pictures")]
    trainer = make_trainer(path.parent, fit, callbacks, gradient_norm=module.gradient_norm)
    fit_module(trainer, module, TrainingData(*slices, fit), resume_from)
    exporter.export(trainer, module)
    return path


class RivalExporter(Callback):
    """Writes the checkpoint file after every validation, while the averaged weights are in place."""

    def __init__(self, path: Path, reading: DataOptions, record: RivalTrainingRecord, timer: Timer) -> None:
        self._path, self._reading, self._record, self._timer = path, reading, record, timer

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Export, so that an interrupted training leaves a usable checkpoint."""
        assert isinstance(module, RivalTraining)
        self.export(trainer, module)

    def export(self, trainer: lightning.Trainer, module: RivalTraining) -> None:
        """Write the module's present weights, on one rank only."""
        if not trainer.is_global_zero:
            return
        record = RivalTrainingRecord(
            self._record.training_data, self._record.licence, trainer.global_step, round(self._timer.time_elapsed(), 1)
        )
        checkpoint = RivalCheckpoint(
            kind=module.kind,
            weights=module.translator().state_dict(),
            settings=module.settings(),
            modality=self._reading.modality,
            pixel_size=self._reading.pixel_size,
            record=record,
        )
        save_rival(checkpoint, self._path)
