"""`train`: from a folder of target-modality scans to a checkpoint."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from ..checkpoint import KERNELS, Checkpoint, load_checkpoint
from ..condition import Condition
from ..devices import select_precision
from ..errors import UserError
from ..intensity import to_unit_scale
from ..score_network import NetworkSettings, ScoreNetwork
from ..sde import VarianceExplodingSDE, largest_distance
from ..segmentation import fit_centres, named_centres
from .augmentation import AUGMENTATIONS, SliceBatch
from .bias_field import correct_bias_field
from .callbacks import CheckpointExporter, SamplePictures
from .options import DataOptions, FitOptions, ModelOptions
from .score_training import ScoreTraining
from .slices import EpochSampler, SliceSet, find_subjects, read_slices, split_subjects
from .tissue_order import tissues_from_dark

_EMA_DECAY = 0.999
_VALIDATION_SLICES = 32
_SIGMA_MIN = 0.01
_STATISTICS_SLICES = 1000
RESUME_FILE = "last.ckpt"


def train(
    data: Path,
    output: Path,
    *,
    reading: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    fit: FitOptions = FitOptions(),
    resume: bool = False,
) -> Path:
    """Train, or go on training, and export the checkpoint.

    Args:
        data: folder of target-modality scans.
        output: folder for logs, pictures and the checkpoint.
        reading: what is read of `data`.
        model: what is trained.
        fit: how.
        resume: go on where the training in `output` was stopped.

    Returns:
        Path of the exported checkpoint.

    Raises:
        UserError: the data cannot be used, or the output folder holds another training.
    """
    condition = _condition(model)
    resume_from = _resume_file(output, resume=resume)
    lightning.seed_everything(fit.seed, verbose=False)
    training, held_out = _read(data, reading, stride=NetworkSettings(channels=model.channels).stride)
    module = _module(training, condition, model, fit)
    exporter = CheckpointExporter(output, reading, model, *_centres(training, reading.modality))
    trainer = _trainer(output, fit, [exporter, SamplePictures(held_out, output / "pictures")])
    loaders = TrainingData(training, held_out, fit)
    with warnings.catch_warnings():
        # Few workers are on purpose: slices are in memory already.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        _fit(trainer, module, loaders, resume_from)
    exporter.export(trainer, module)
    return exporter.path


def _condition(model: ModelOptions) -> Condition:
    try:
        return Condition(model.maps, model.patch_sizes, model.search_size, KERNELS[model.kernel]())
    except ValueError as error:
        raise UserError(f"The maps cannot be made ({error}); choose others.") from error


def _module(training: SliceSet, condition: Condition, model: ModelOptions, fit: FitOptions) -> ScoreTraining:
    slices = _spread(training.images(), _STATISTICS_SLICES)
    network = NetworkSettings(
        channels=model.channels,
        blocks=model.blocks,
        sigma_data=round(float(slices.std()), 4),
        condition_channels=len(condition.channels),
    )
    module = ScoreTraining(
        network=network,
        condition=condition,
        sde=VarianceExplodingSDE(_SIGMA_MIN, round(largest_distance(slices), 1)),
        augmentation=AUGMENTATIONS[fit.contrast],
        steps=fit.steps,
        learning_rate=fit.learning_rate,
        seed=fit.seed,
    )
    if model.start_from is not None:
        start_from(module.network, condition, load_checkpoint(model.start_from))
    return module


def start_from(network: ScoreNetwork, condition: Condition, checkpoint: Checkpoint) -> None:
    """Give a network the weights of a checkpoint whose maps may be others; a map that is new to it has no effect yet.

    Raises:
        UserError: the networks differ in more than their maps.
    """
    weights = {name: weight.float() for name, weight in checkpoint.weights.items()}
    folded = network.settings.unshuffle**2
    known = ("noisy", *checkpoint.condition.channels)
    first = "unet.first.weight"
    parts = dict(zip(known, weights[first].split(folded, 1), strict=True))
    none = torch.zeros_like(parts["noisy"])
    weights[first] = torch.cat([parts.get(name, none) for name in ("noisy", *condition.channels)], 1)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"The network of the checkpoint to start from has channels {checkpoint.network.channels} and"
            f" {checkpoint.network.blocks} block(s) a level; give --channels and --blocks to match."
        ) from error


def _fit(trainer: lightning.Trainer, module: ScoreTraining, loaders: TrainingData, resume_from: Path | None) -> None:
    try:
        trainer.fit(module, loaders, ckpt_path=resume_from, weights_only=True)
    except SystemExit:
        # Lightning leaves with a status of its own on Ctrl-C.
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise


def _resume_file(output: Path, *, resume: bool) -> Path | None:
    file = output / RESUME_FILE
    if resume and not file.is_file():
        raise UserError(f"{file} does not exist, so there is nothing to resume; leave out --resume.")
    if not resume and file.exists():
        raise UserError(f"{output} holds a training already; add --resume or choose another --output.")
    output.mkdir(parents=True, exist_ok=True)
    return file if resume else None


def _read(data: Path, options: DataOptions, *, stride: int) -> tuple[SliceSet, SliceSet]:
    def preprocess(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return to_unit_scale(correct_bias_field(volume) if options.correct_bias else volume)

    subjects = find_subjects(
        data, modality=options.modality, brain_suffix=options.brain_suffix, label_suffix=options.label_suffix
    )
    training, held_out = split_subjects(subjects, held_out=options.held_out)
    sets = [
        read_slices(
            part, pixel_size=options.pixel_size, stride=stride, preprocess=preprocess, levels=options.tissue_levels
        )
        for part in (training, held_out)
    ]
    return sets[0], sets[1]


def _spread(slices: Tensor, count: int) -> Tensor:
    """At most `count` slices, evenly from the first to the last."""
    count = min(count, len(slices))
    return slices[torch.arange(count) * (len(slices) - 1) // max(1, count - 1)]


def _centres(slices: SliceSet, modality: str) -> tuple[dict[int, NDArray[np.float64]], dict[str, float] | None]:
    intensities = _spread(slices.images().flatten(), 500_000).numpy()
    centres = {count: fit_centres(intensities, count=count) for count in (3, 5)}
    if not slices.has_masks:
        return centres, None
    some = slices.batch(_spread(torch.arange(len(slices)), _STATISTICS_SLICES).tolist())
    from_dark = tissues_from_dark(some, modality=modality)
    if from_dark is None:
        print(f"Without labels nobody knows which tissue is which in {modality}: the checkpoint will name none.")
        return centres, None
    brain = _spread(slices.brain_intensities(), 500_000).numpy()
    return centres, named_centres(fit_centres(brain, count=len(from_dark)), from_dark)


def _trainer(output: Path, options: FitOptions, callbacks: list[Callback]) -> lightning.Trainer:
    ema = WeightAveraging(use_buffers=False, avg_fn=_warmed_up_average)
    resume = ModelCheckpoint(output, Path(RESUME_FILE).stem, enable_version_counter=False, save_on_train_epoch_end=True)
    return lightning.Trainer(
        max_steps=options.steps,
        max_epochs=-1,
        devices=options.devices,
        num_nodes=options.nodes,
        precision=_precision(options.precision),
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        enable_model_summary=False,
        logger=TensorBoardLogger(output, name="tensorboard", version=""),
        # The averaged weights are in place until `ema` hears of the validation's end: it must come last.
        callbacks=[*callbacks, ema, resume, TQDMProgressBar(refresh_rate=10)],
    )


def _precision(name: str) -> Any:
    """Lightning's name of a precision; `auto` is mixed where the hardware gains from it."""
    if name == "auto":
        gains = torch.cuda.is_available() or select_precision("auto", torch.device("cpu")) == torch.bfloat16
        return "bf16-mixed" if gains else "32-true"
    return name


def _warmed_up_average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
    """Exponential moving average whose decay grows, so that the first, untrained weights are soon forgotten."""
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
        chosen = _spread(torch.arange(len(self._held_out)), _VALIDATION_SLICES)
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
