"""What a training leaves in its folder on the way: the checkpoint so far, and pictures."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Protocol, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor

from ..images.rendering import save_picture
from ..model.checkpoint import Checkpoint, Provenance, save_checkpoint
from .data.batches import CutBatch
from .data.dataset import SliceSet
from .lightning_module import ScoreTraining
from .options import DataOptions, ModelOptions
from .slice_batch import SliceBatch
from .trainer import inner

_PICTURES = 8


class CheckpointExporter(Callback):
    """Writes the checkpoint file after every validation, while the averaged weights are in place."""

    def __init__(
        self,
        output: Path,
        reading: DataOptions,
        model: ModelOptions,
        class_centers: dict[int, NDArray[np.float64]],
        tissue_centers: dict[str, float] | None,
        timer: Timer,
        record: dict[str, Any],
    ) -> None:
        self.path = output / f"{model.name}.safetensors"
        self._reading, self._model = reading, model
        self._class_centers, self._tissue_centers = class_centers, tissue_centers
        self._timer, self._record = timer, record

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Export, so that an interrupted training leaves a usable checkpoint."""
        assert isinstance(module, ScoreTraining)
        self.export(trainer, module)

    def export(self, trainer: lightning.Trainer, module: ScoreTraining) -> None:
        """Write the module's present weights, on one rank only."""
        if not trainer.is_global_zero:
            return
        checkpoint = Checkpoint(
            weights=module.network.state_dict(),
            network=module.network.settings,
            condition=module.condition,
            sde=module.sde,
            modality=self._reading.modality,
            pixel_size=self._reading.pixel_size,
            planes=self._reading.planes,
            class_centers=self._class_centers,
            tissue_centers=self._tissue_centers,
            provenance=Provenance(
                self._model.training_data,
                self._model.license,
                trainer.global_step,
                training_seconds=round(self._timer.time_elapsed(), 1),
                recipe=self._record,
            ),
        )
        save_checkpoint(checkpoint, self.path)


class CutPictures(Callback):
    """Shows what a score training has learned of held-out batches of several pixel sizes after every validation."""

    def __init__(self, batches: list[CutBatch], folder: Path) -> None:
        self._batches, self._folder = batches, folder

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write FOLDER/step-STEP-NUMBER.png for each of the batches."""
        if not trainer.is_global_zero:
            return
        assert isinstance(module, ScoreTraining)
        self._folder.mkdir(exist_ok=True)
        for number, batch in enumerate(self._batches):
            slices = SliceBatch(*(part.to(module.device) for part in batch.slices))
            rows = module.pictures(batch._replace(slices=slices))
            sheet = torch.cat([torch.cat(list(row[:, 0]), 1) for row in rows]).float().cpu()
            save_picture(self._folder / f"step-{trainer.global_step:07d}-{number}.png", sheet.numpy())


class Pictured(Protocol):
    """A training that shows what it has learned."""

    @abstractmethod
    def pictures(self, batch: SliceBatch) -> list[Tensor]:
        """Rows of slices, (B, 1, H, W) each, that show what has been learned, for held-out target slices."""


class HeldOutPictures(Callback):
    """Shows what a `Pictured` training has learned of some held-out slices after every validation."""

    def __init__(self, held_out: SliceSet, folder: Path) -> None:
        self._batch = held_out.batch(inner(_PICTURES, size=len(held_out)))
        self._folder = folder

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write FOLDER/step-STEP.png and show it in TensorBoard."""
        if not trainer.is_global_zero:
            return
        batch = SliceBatch(*(part.to(module.device) for part in self._batch))
        rows = cast(Pictured, module).pictures(batch)
        sheet = torch.cat([torch.cat(list(row[:, 0]), 1) for row in rows]).float().cpu()
        self._folder.mkdir(exist_ok=True)
        save_picture(self._folder / f"step-{trainer.global_step:07d}.png", sheet.numpy())
        assert isinstance(trainer.logger, TensorBoardLogger)
        trainer.logger.experiment.add_image("translations", sheet[None].clamp(0, 1), trainer.global_step)
