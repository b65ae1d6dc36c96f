"""Shared parts of all trainings: slices, data loaders, trainer, interruption and resumption."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from ..errors import UserError
from ..model.devices import select_precision
from .data.dataset import EpochSampler, SliceSet, find_subjects, read_slices, split_subjects
from .n4 import unit_scaling
from .options import DataOptions, FitOptions
from .slice_batch import SliceBatch

_EMA_DECAY = 0.999
_VALIDATION_SLICES = 32
GRADIENT_NORM = 1.0
"""Norm to which gradients are clipped by default."""
RESUME_FILE = "last.ckpt"


def begin_training(output: Path, *, seed: int, resume: bool) -> Path | None:
    """Make the folder of a training and seed all random numbers.

    Returns:
        State to resume from; None for a new training.

    Raises:
        UserError: there is nothing to resume, or the folder holds another training.
    """
    file = output / RESUME_FILE
    if resume and not file.is_file():
        raise UserError(f"{file} does not exist, so there is nothing to resume; leave out --resume.")
    if not resume and file.exists():
        raise UserError(f"{output} holds a training already; add --resume or choose another --output.")
    output.mkdir(parents=True, exist_ok=True)
    lightning.seed_everything(seed, verbose=False)
    return file if resume else None


def read_split(data: Path, options: DataOptions, *, stride: int) -> tuple[SliceSet, SliceSet]:
    """Read the slices (training, held out) of a folder of scans, padded to multiples of `stride`.

    Raises:
        UserError: the data cannot be used.
    """
    subjects = find_subjects(
        data, modality=options.modality, brain_suffixes=options.brain_suffixes, label_suffix=options.label_suffix
    )
    training, held_out = split_subjects(subjects, held_out=options.held_out)
    sets = [
        read_slices(
            part,
            pixel_size=options.pixel_size,
            stride=stride,
            preprocess=unit_scaling(correct_bias=options.correct_bias),
            levels=options.tissue_levels,
            planes=options.planes,
        )
        for part in (training, held_out)
    ]
    return sets[0], sets[1]


def spread(slices: Tensor, count: int) -> Tensor:
    """Return at most `count` slices, evenly from the first to the last."""
    count = min(count, len(slices))
    return slices[torch.arange(count) * (len(slices) - 1) // max(1, count - 1)]


def inner(count: int, *, size: int) -> list[int]:
    """Return `count` indices below `size`, evenly spaced and without the ends."""
    return torch.linspace(0, size - 1, count + 2).long()[1:-1].tolist()


def mean_psnr(estimates: Tensor, slices: Tensor) -> Tensor:
    """Return the PSNR in dB of estimates of slices (B, 1, H, W) in [0, 1], averaged over the batch."""
    error = (estimates.clamp(0, 1) - slices).square().mean((1, 2, 3))
    return -10 * error.clamp(min=1e-10).log10().mean()


def make_trainer(
    output: Path,
    options: FitOptions,
    callbacks: list[Callback],
    *,
    gradient_norm: float | None = GRADIENT_NORM,
    epochs_per_validation: int = 1,
) -> lightning.Trainer:
    """Build a trainer that averages the weights and keeps a state to resume from after every epoch."""
    ema = WeightAveraging(use_buffers=False, avg_fn=_warmed_up_average)
    resume = ModelCheckpoint(output, Path(RESUME_FILE).stem, enable_version_counter=False, save_on_train_epoch_end=True)
    # With a limit of steps Lightning would go on with an epoch that ended without a validation: one step too many.
    epochs, rest = divmod(options.steps, options.steps_per_epoch)
    return lightning.Trainer(
        max_steps=options.steps if rest else -1,
        max_epochs=-1 if rest else epochs,
        check_val_every_n_epoch=epochs_per_validation,
        devices=options.devices,
        num_nodes=options.nodes,
        precision=_precision(options.precision),
        gradient_clip_val=gradient_norm,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        enable_model_summary=False,
        logger=TensorBoardLogger(output, name="tensorboard", version=""),
        # The averaged weights are in place until `ema` hears of the validation's end: it must come last.
        callbacks=[*callbacks, ema, resume, TQDMProgressBar(refresh_rate=10)],
    )


def _precision(name: str) -> Any:
    """Return Lightning's name of a precision; `auto` is mixed where the hardware gains from it."""
    if name == "auto":
        gains = torch.cuda.is_available() or select_precision("auto", torch.device("cpu")) == torch.bfloat16
        return "bf16-mixed" if gains else "32-true"
    return name


def _warmed_up_average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
    """Update a moving average whose decay grows, so that the first, untrained weights are soon forgotten."""
    decay = min(_EMA_DECAY, (1 + float(updates)) / (10 + float(updates)))
    return averaged.lerp(current, 1 - decay)


class TrainingData(lightning.LightningDataModule):
    """Batches for this rank: drawn by seed and epoch for training, evenly spread held-out slices for validation."""

    def __init__(self, training: SliceSet, held_out: SliceSet, options: FitOptions) -> None:
        super().__init__()
        self._training, self._held_out, self._options = training, held_out, options

    def train_dataloader(self) -> DataLoader[SliceBatch]:
        trainer = self.trainer
        assert trainer is not None
        sampler = EpochSampler(
            len(self._training),
            per_epoch=self._options.batch_size * self._options.steps_per_epoch,
            seed=self._options.seed,
            epoch=lambda: trainer.current_epoch,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
        )
        return self._loader(self._training, sampler)

    def val_dataloader(self) -> DataLoader[SliceBatch]:
        chosen = spread(torch.arange(len(self._held_out)), _VALIDATION_SLICES)
        return self._loader(Subset(self._held_out, chosen.tolist()), None)

    def _loader(self, slices: Dataset[SliceBatch], sampler: EpochSampler | None) -> DataLoader[SliceBatch]:
        workers = self._options.workers
        return DataLoader(
            slices,
            batch_size=self._options.batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


def fit_module(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    loaders: lightning.LightningDataModule,
    resume_from: Path | None,
) -> None:
    """Run a training; Ctrl-C raises `KeyboardInterrupt`, as everywhere."""
    try:
        with warnings.catch_warnings():
            # Few workers are on purpose: slices are in memory already.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            trainer.fit(module, loaders, ckpt_path=resume_from, weights_only=True)
    except SystemExit:
        # Lightning leaves with a status of its own on Ctrl-C.
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
