"""Shared parts of the baselines' trainings: the product's data and trainer, and the export of a checkpoint."""

from __future__ import annotations

import dataclasses
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
from ..baseline_checkpoint import BaselineCheckpoint, BaselineTrainingRecord, save_baseline


class BaselineTraining(lightning.LightningModule, Pictured, ABC):
    """Lightning module of a baseline, as `fit_baseline` takes it."""

    kind: str
    """Kind of the checkpoint, which is the benchmark's name for the method."""
    gradient_norm: float | None = None
    """Norm to which gradients are clipped; None for no clipping."""

    @abstractmethod
    def translator(self) -> nn.Module:
        """Return the network that translates, whose weights the checkpoint keeps."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the settings that the network is built from, as plain JSON types."""


def fit_baseline(
    module: BaselineTraining,
    slices: tuple[SliceSet, SliceSet],
    path: Path,
    *,
    reading: DataOptions,
    fit: FitOptions,
    resume_from: Path | None,
    record: BaselineTrainingRecord,
) -> Path:
    """Train a baseline, or resume its training, and export its checkpoint.

    Args:
        module: the baseline to train.
        slices: training slices and held-out slices of the target modality.
        path: of the checkpoint; logs, pictures and the state to resume from are written beside it.
        reading: how the slices were read.
        fit: how it is trained.
        resume_from: state to resume from.
        record: description of the data and license of the weights; steps and seconds are filled in.
    """
    timer = Timer(verbose=False)
    exporter = BaselineExporter(path, reading, record, timer)
    callbacks = [timer, exporter, HeldOutPictures(slices[1], path.parent / "pictures")]
    trainer = make_trainer(path.parent, fit, callbacks, gradient_norm=module.gradient_norm)
    fit_module(trainer, module, TrainingData(*slices, fit), resume_from)
    exporter.export(trainer, module)
    return path


class BaselineExporter(Callback):
    """Writes the checkpoint file after every validation, while the averaged weights are in place."""

    def __init__(self, path: Path, reading: DataOptions, record: BaselineTrainingRecord, timer: Timer) -> None:
        self._path, self._reading, self._record, self._timer = path, reading, record, timer

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Export the checkpoint, so that an interrupted training leaves a usable one."""
        assert isinstance(module, BaselineTraining)
        self.export(trainer, module)

    def export(self, trainer: lightning.Trainer, module: BaselineTraining) -> None:
        """Write the module's present weights, on one rank only."""
        if not trainer.is_global_zero:
            return
        seconds = round(self._timer.time_elapsed(), 1)
        checkpoint = BaselineCheckpoint(
            kind=module.kind,
            weights=module.translator().state_dict(),
            settings=module.settings(),
            modality=self._reading.modality,
            pixel_size=self._reading.pixel_size,
            record=dataclasses.replace(self._record, training_steps=trainer.global_step, training_seconds=seconds),
        )
        save_baseline(checkpoint, self._path)
