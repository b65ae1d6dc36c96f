"""Shared parts of the baselines' trainings: the product's data and trainer, and the export of a checkpoint."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Timer
from torch import nn

from ...images.planes import AXIAL
from ...model.checkpoint_file import Provenance, StoredCheckpoint, write_checkpoint
from ...training.callbacks import CheckpointExporter, HeldOutPictures, Pictured
from ...training.data.batches import BatchMix
from ...training.data.data_module import cut_data
from ...training.data.scans import TrainingScan
from ...training.options import DataOptions, Description, FitOptions
from ...training.trainer import fit_module, make_trainer

_PICTURES = 4


class BaselineTraining(lightning.LightningModule, Pictured, ABC):
    """Lightning module of a baseline, as `fit_baseline` takes it."""

    kind: str
    """Kind of the checkpoint, which is the benchmark's name for the method."""
    gradient_norm: float | None = None
    """Norm to which gradients are clipped; None for no clipping."""
    mix = BatchMix()
    """Windows of the slices; their number is that of the fit."""

    @abstractmethod
    def translator(self) -> nn.Module:
        """Return the network that translates, whose weights the checkpoint keeps."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the settings that the network is built from, as plain JSON types."""


def baseline_reading(reading: DataOptions, *, planes: tuple[str, ...] = (AXIAL,)) -> DataOptions:
    """Return the options by which a baseline reads scans: on pixels of one size, by default in the compared plane."""
    return dataclasses.replace(reading, planes=planes, finest_pixel_size=reading.pixel_size)


def fit_baseline(
    module: BaselineTraining,
    scans: tuple[list[TrainingScan], list[TrainingScan]],
    output: Path,
    *,
    description: Description,
    reading: DataOptions,
    fit: FitOptions,
    resume_from: Path | None,
) -> Path:
    """Train a baseline, or resume its training, and export its checkpoint.

    Args:
        module: the baseline to train.
        scans: training scans and held-out scans of the target modality.
        output: folder for logs, pictures, the state to resume from, and the checkpoint.
        description: name of the checkpoint and what it says of itself.
        reading: how the scans were read.
        fit: how the baseline is trained.
        resume_from: state to resume from; None for a new training.

    Returns:
        Path of the exported checkpoint.
    """
    path = output / f"{description.name}.safetensors"

    def write(provenance: Provenance) -> None:
        weights, settings = module.translator().state_dict(), module.settings()
        stored = StoredCheckpoint(module.kind, weights, settings, reading.modality, reading.pixel_size, provenance)
        write_checkpoint(stored, path)

    timer = Timer(verbose=False)
    exporter = CheckpointExporter(write, Provenance(description.training_data, description.license), timer)
    mix = dataclasses.replace(module.mix, batch_size=fit.batch_size)
    loaders = cut_data(*scans, reading, fit, mix)
    callbacks = [timer, exporter, HeldOutPictures(loaders.held_out[:_PICTURES], output / "pictures")]
    trainer = make_trainer(output, fit, callbacks, gradient_norm=module.gradient_norm)
    fit_module(trainer, module, loaders, resume_from)
    exporter.export(trainer)
    return path
