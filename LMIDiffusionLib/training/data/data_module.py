"""Lightning data module of a score network's training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
from torch.utils.data import DataLoader

from ...errors import UserError
from ...images.files import VOLUME_ENDINGS, check_folder, ending
from ..options import DataOptions, FitOptions
from .batches import BatchMix, CutBatch, CutBatches, StepSampler, held_out_batches
from .dataset import Subject, find_subjects, print_notes, split_subjects
from .scans import TrainingScan, read_label_maps, read_scans

_VALIDATION_BATCHES = 8


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
    notes = dict[str, list[str]]()
    scans, others = (read_scans(part, options, cache=cache, notes=notes) for part in (training, held_out))
    print_notes(notes, len(subjects))
    return [*scans, *read_label_maps(_label_maps(options), options, cache=cache)], others


def training_files(data: Path, options: DataOptions) -> list[Path]:
    """List all files that `read_training` reads, held-out scans and label maps included.

    Raises:
        UserError: the data cannot be used.
    """
    of_subjects = [(one.image, one.brain, one.labels) for one in _subjects(data, options)]
    return [*(each for files in of_subjects for each in files if each is not None), *_label_maps(options)]


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


class CutData(lightning.LightningDataModule):
    """Batches for this rank: drawn by seed and step for training, the same held-out ones for validation.

    Attributes:
        held_out: batches for validation.
    """

    def __init__(
        self,
        training: list[TrainingScan],
        held_out: list[TrainingScan],
        reading: DataOptions,
        options: FitOptions,
        mix: BatchMix,
    ) -> None:
        super().__init__()
        self._training, self._options, self._mix = training, options, mix
        self._sizes = (reading.finest_pixel_size, reading.pixel_size)
        self.held_out = held_out_batches(held_out, self._sizes, mix, count=_VALIDATION_BATCHES)

    def train_dataloader(self) -> DataLoader[CutBatch]:
        trainer = self.trainer
        assert trainer is not None
        batches = CutBatches(
            self._training,
            self._sizes,
            self._mix,
            seed=self._options.seed,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
        )
        sampler = StepSampler(per_epoch=self._options.steps_per_epoch, epoch=lambda: trainer.current_epoch)
        return self._loader(batches, sampler=sampler)

    def val_dataloader(self) -> DataLoader[CutBatch]:
        return self._loader(self.held_out)

    def _loader(self, batches: Any, **options: Any) -> DataLoader[CutBatch]:
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
