"""Data of all trainings: scans of a folder, and the Lightning data module that deals out their batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightning
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from ...errors import UserError
from ...images.files import VOLUME_ENDINGS, check_folder, ending
from ...images.slice_grid import pad_to
from ..options import DataOptions, FitOptions
from ..slice_batch import SliceBatch
from .batches import FIELD, BatchMix, CutBatch, CutBatches, StepSampler, held_out_batches
from .reading import Notes, print_notes
from .scans import TrainingScan, read_label_maps, read_scans
from .subjects import Subject, find_subjects, split_subjects

_Batch = TypeVar("_Batch")

_VALIDATION_BATCHES = 8
_SAMPLED = 1000
"""Number of slices from which the deviation and the class centers are computed."""


def read_training(data: Path, options: DataOptions, *, cache: Path) -> tuple[list[TrainingScan], list[TrainingScan]]:
    """Read scans and label maps for training, and the held-out scans.

    Args:
        data: folder of scans.
        options: how the data are read.
        cache: folder of what has been read before.

    Raises:
        UserError: the data cannot be used.
    """
    subjects = _subjects(data, options)
    training, held_out = split_subjects(subjects, held_out=options.held_out)
    print(f"Held out: {', '.join(subject.name for subject in held_out)}")
    notes: Notes = {}
    scans, others = (read_scans(part, options, cache=cache, notes=notes) for part in (training, held_out))
    print_notes(notes, len(subjects))
    return [*scans, *read_label_maps(_label_maps(options), options, cache=cache)], others


def training_files(data: Path, options: DataOptions) -> list[Path]:
    """List all files that `read_training` reads, held-out scans and label maps included.

    Raises:
        UserError: the data cannot be used.
    """
    return [*(file for subject in _subjects(data, options) for file in subject.files), *_label_maps(options)]


def _subjects(data: Path, options: DataOptions) -> list[Subject]:
    return find_subjects(
        data, modality=options.modality, brain_suffixes=options.brain_suffixes, label_suffix=options.label_suffix
    )


def _label_maps(options: DataOptions) -> list[Path]:
    if options.label_maps is None:
        return []
    check_folder(options.label_maps, wanted="label maps of heads")
    paths = sorted(path for path in options.label_maps.iterdir() if ending(path) in VOLUME_ENDINGS)
    if not paths:
        raise UserError(f"{options.label_maps} holds no label map; give a folder of label maps of heads.")
    return paths


def sample_slices(scans: Sequence[TrainingScan], options: DataOptions, *, stride: int) -> SliceBatch:
    """Return some unchanged slices of scans on the largest pixels, padded to the field of view."""
    sizes = (options.pixel_size, options.pixel_size)
    # The same for any number of processes that share the training.
    mix = BatchMix(stride=stride)
    batches = held_out_batches(scans, sizes, mix, count=_SAMPLED // mix.batch_size)
    side = round(FIELD / options.pixel_size)

    def padded(part: Tensor, batch: CutBatch) -> Tensor:
        resized = functional.interpolate(part.float(), size=batch.pixels.shape, mode="nearest-exact")
        return pad_to(resized, (side, side))

    found = [
        batch.slices._replace(
            images=padded(batch.slices.images, batch),
            brains=padded(batch.slices.brains, batch),
            classes=padded(batch.slices.classes, batch),
        )
        for batch in batches
    ]
    return SliceBatch(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def cut_data(
    training: Sequence[TrainingScan],
    held_out: Sequence[TrainingScan],
    reading: DataOptions,
    options: FitOptions,
    mix: BatchMix,
) -> NumberedData[CutBatch]:
    """Return the batches of a training: cut by seed and step, and the same held-out ones for every validation."""
    sizes = (reading.finest_pixel_size, reading.pixel_size)

    def batches(rank: int, ranks: int) -> CutBatches:
        return CutBatches(training, sizes, mix, seed=options.seed, rank=rank, ranks=ranks)

    return NumberedData(batches, held_out_batches(held_out, sizes, mix, count=_VALIDATION_BATCHES), options)


class NumberedData(lightning.LightningDataModule, Generic[_Batch]):
    """Batches of training by their number, and those of validation.

    Attributes:
        held_out: batches for validation.
    """

    def __init__(
        self, training: Callable[[int, int], Dataset[_Batch]], held_out: list[_Batch], options: FitOptions
    ) -> None:
        """
        Args:
            training: makes the batches of a rank, given that and the number of ranks.
            held_out: batches for validation.
            options: steps of an epoch, and workers.
        """
        super().__init__()
        self._training, self._options = training, options
        self.held_out = held_out

    def train_dataloader(self) -> DataLoader[_Batch]:
        trainer = self.trainer
        assert trainer is not None
        batches = self._training(trainer.global_rank, trainer.world_size)
        sampler = StepSampler(per_epoch=self._options.steps_per_epoch, epoch=lambda: trainer.current_epoch)
        return self._loader(batches, sampler=sampler)

    def val_dataloader(self) -> DataLoader[_Batch]:
        return self._loader(self.held_out)

    def _loader(self, batches: Any, **options: Any) -> DataLoader[_Batch]:
        workers = self._options.workers
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=_unchanged,
            **options,
        )


def _unchanged(batch: Any) -> Any:
    return batch
