"""Callbacks that write files in the course of a training: the checkpoint so far, and pictures."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Timer
from torch import Tensor

from ..images.rendering import save_picture
from ..model.checkpoint_file import Provenance
from .data.batches import CutBatch
from .slice_batch import SliceBatch


class CheckpointExporter(Callback):
    """Writes the checkpoint file after every validation, while the averaged weights are in place."""

    def __init__(self, write: Callable[[Provenance], None], provenance: Provenance, timer: Timer) -> None:
        """
        Args:
            write: writes a checkpoint with the present weights.
            provenance: of the weights; steps and seconds are filled in.
            timer: of the training.
        """
        self._write, self._provenance, self._timer = write, provenance, timer

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Export, so that an interrupted training leaves a usable checkpoint."""
        self.export(trainer)

    def export(self, trainer: lightning.Trainer) -> None:
        """Write the present weights, on one rank only."""
        if trainer.is_global_zero:
            seconds = round(self._timer.time_elapsed(), 1)
            self._write(
                dataclasses.replace(self._provenance, training_steps=trainer.global_step, training_seconds=seconds)
            )


class Pictured(Protocol):
    """A training that shows what it has learned."""

    @abstractmethod
    def pictures(self, batch: CutBatch) -> list[Tensor]:
        """Return rows of slices, (B, 1, H, W) each, that show what has been learned, for held-out target slices."""


class HeldOutPictures(Callback):
    """Shows what a `Pictured` training makes of held-out batches after every validation."""

    def __init__(self, batches: list[CutBatch], folder: Path) -> None:
        self._batches, self._folder = batches, folder

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write FOLDER/step-STEP-NUMBER.png for each of the batches."""
        if not trainer.is_global_zero:
            return
        self._folder.mkdir(exist_ok=True)
        for number, batch in enumerate(self._batches):
            slices = SliceBatch(*(part.to(module.device) for part in batch.slices))
            rows = cast(Pictured, module).pictures(batch._replace(slices=slices))
            sheet = torch.cat([torch.cat(list(row[:, 0]), 1) for row in rows]).float().cpu()
            save_picture(self._folder / f"step-{trainer.global_step:07d}-{number}.png", sheet.numpy())
