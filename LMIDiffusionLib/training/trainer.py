"""Shared parts of all trainings: trainer, interruption and resumption."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor

from ..errors import UserError
from ..model.devices import select_precision
from ..runs.rendezvous import meet_on_loopback
from .options import FitOptions

_EMA_DECAY = 0.999
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


def spread(slices: Tensor, count: int) -> Tensor:
    """Return at most `count` slices, evenly from the first to the last."""
    count = min(count, len(slices))
    return slices[torch.arange(count) * (len(slices) - 1) // max(1, count - 1)]


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
    trainer = lightning.Trainer(
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
    if isinstance(trainer.strategy, ParallelStrategy) and trainer.world_size > 1 and trainer.num_nodes == 1:
        environment = trainer.strategy.cluster_environment
        meet_on_loopback(environment, rank=trainer.global_rank, processes=trainer.world_size)
    return trainer


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
