"""`train`: from a folder of target-modality scans to a checkpoint."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
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

from ..checkpoint import KERNELS, Checkpoint, load_checkpoint, save_checkpoint
from ..condition import Condition
from ..errors import UserError
from ..intensity import to_unit_scale
from ..pictures import save_picture
from ..samplers import SAMPLERS, SliceNoise
from ..score_network import NetworkSettings, ScoreNetwork
from ..sde import VarianceExplodingSDE, largest_distance
from ..segmentation import fit_centres
from ..translation import conditional_denoiser
from .augmentation import AUGMENTATIONS, SliceBatch
from .bias_field import correct_bias_field
from .draws import SliceDraws
from .score_training import ScoreTraining
from .slices import EpochSampler, SliceSet, find_subjects, read_slices, split_subjects

_EMA_DECAY = 0.999
_VALIDATION_SLICES = 32
_SIGMA_MIN = 0.01
_STATISTICS_SLICES = 1000
_PICTURE_STEPS = 15
RESUME_FILE = "last.ckpt"


@dataclass(frozen=True)
class TrainingOptions:
    """What the user chooses; see `lmidiffusion train --help`."""

    data: Path
    output: Path
    name: str
    modality: str
    brain_suffix: str
    label_suffix: str | None
    tissue_levels: tuple[float, float, float, float] | None
    pixel_size: float
    correct_bias: bool
    maps: tuple[str, ...]
    patch_sizes: tuple[int, ...]
    search_size: int
    kernel: str
    contrast: str
    start_from: str | None
    channels: tuple[int, ...]
    blocks: int
    steps: int
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    held_out: int
    seed: int
    devices: str
    nodes: int
    precision: str
    workers: int
    resume: bool
    training_data: str
    licence: str


def train(options: TrainingOptions) -> Path:
    """Train, or go on training, and export the checkpoint.

    Returns:
        Path of the exported checkpoint.

    Raises:
        UserError: the data cannot be used, or the output folder holds another training.
    """
    condition = _condition(options)
    resume_from = _resume_file(options)
    lightning.seed_everything(options.seed, verbose=False)
    training, held_out = _read(options)
    slices = _spread(training.images(), _STATISTICS_SLICES)
    network = NetworkSettings(
        channels=options.channels,
        blocks=options.blocks,
        sigma_data=round(float(slices.std()), 4),
        condition_channels=len(condition.channels),
    )
    module = ScoreTraining(
        network=network,
        condition=condition,
        sde=VarianceExplodingSDE(_SIGMA_MIN, round(largest_distance(slices), 1)),
        augmentation=AUGMENTATIONS[options.contrast],
        steps=options.steps,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    if options.start_from is not None:
        start_from(module.network, condition, load_checkpoint(options.start_from))
    centres, tissue_centres = _centres(training)
    exporter = CheckpointExporter(options, centres, tissue_centres)
    trainer = _trainer(options, [exporter, SamplePictures(held_out, options.output / "pictures")])
    loaders = TrainingData(training, held_out, options)
    with warnings.catch_warnings():
        # Few workers are on purpose: slices are in memory already.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        _fit(trainer, module, loaders, resume_from)
    exporter.export(trainer, module)
    return exporter.path


def _condition(options: TrainingOptions) -> Condition:
    try:
        return Condition(options.maps, options.patch_sizes, options.search_size, KERNELS[options.kernel]())
    except ValueError as error:
        raise UserError(f"The maps cannot be made ({error}); choose others.") from error


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


def _resume_file(options: TrainingOptions) -> Path | None:
    file = options.output / RESUME_FILE
    if options.resume and not file.is_file():
        raise UserError(f"{file} does not exist, so there is nothing to resume; leave out --resume.")
    if not options.resume and file.exists():
        raise UserError(f"{options.output} holds a training already; add --resume or choose another --output.")
    options.output.mkdir(parents=True, exist_ok=True)
    return file if options.resume else None


def _read(options: TrainingOptions) -> tuple[SliceSet, SliceSet]:
    def preprocess(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return to_unit_scale(correct_bias_field(volume) if options.correct_bias else volume)

    subjects = find_subjects(
        options.data, modality=options.modality, brain_suffix=options.brain_suffix, label_suffix=options.label_suffix
    )
    stride = NetworkSettings(channels=options.channels).stride
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


def _centres(slices: SliceSet) -> tuple[dict[int, NDArray[np.float64]], NDArray[np.float64] | None]:
    intensities = _spread(slices.images().flatten(), 500_000).numpy()
    centres = {count: fit_centres(intensities, count=count) for count in (3, 5)}
    if not slices.has_masks:
        return centres, None
    brain = _spread(slices.brain_intensities(), 500_000).numpy()
    return centres, fit_centres(brain, count=3)


def _trainer(options: TrainingOptions, callbacks: list[Callback]) -> lightning.Trainer:
    ema = WeightAveraging(use_buffers=False, avg_fn=_warmed_up_average)
    resume = ModelCheckpoint(
        options.output, Path(RESUME_FILE).stem, enable_version_counter=False, save_on_train_epoch_end=True
    )
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
        logger=TensorBoardLogger(options.output, name="tensorboard", version=""),
        # The averaged weights are in place until `ema` hears of the validation's end: it must come last.
        callbacks=[*callbacks, ema, resume, TQDMProgressBar(refresh_rate=10)],
    )


def _precision(name: str) -> Any:
    """Lightning's name of a precision; `auto` is mixed where the hardware gains from it."""
    if name == "auto":
        gains = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
        return "bf16-mixed" if gains else "32-true"
    return name


def _warmed_up_average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
    """Exponential moving average whose decay grows, so that the first, untrained weights are soon forgotten."""
    decay = min(_EMA_DECAY, (1 + float(updates)) / (10 + float(updates)))
    return averaged.lerp(current, 1 - decay)


class TrainingData(lightning.LightningDataModule):
    """Batches for this rank: drawn by seed and epoch for training, evenly spread held-out slices for validation."""

    def __init__(self, training: SliceSet, held_out: SliceSet, options: TrainingOptions) -> None:
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


class CheckpointExporter(Callback):
    """Writes the checkpoint file after every validation, while the averaged weights are in place."""

    def __init__(
        self,
        options: TrainingOptions,
        class_centres: dict[int, NDArray[np.float64]],
        tissue_centres: NDArray[np.float64] | None,
    ) -> None:
        self.path = options.output / f"{options.name}.safetensors"
        self._options = options
        self._class_centres, self._tissue_centres = class_centres, tissue_centres

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
            modality=self._options.modality,
            pixel_size=self._options.pixel_size,
            class_centres=self._class_centres,
            tissue_centres=self._tissue_centres,
            training_data=self._options.training_data,
            licence=self._options.licence,
            training_steps=trainer.global_step,
        )
        save_checkpoint(checkpoint, self.path)


class SamplePictures(Callback):
    """After every validation, translates held-out slices from a random contrast back: contrast, translation, truth."""

    def __init__(self, held_out: SliceSet, folder: Path) -> None:
        self._batch = held_out.batch(torch.linspace(0, len(held_out) - 1, 10).long()[1:-1].tolist())
        self._folder = folder

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write PICTURES/STEP.png and show it in TensorBoard."""
        assert isinstance(module, ScoreTraining)
        if not trainer.is_global_zero:
            return
        batch = SliceBatch(*(part.to(module.device) for part in self._batch))
        slices, draws = batch.images, SliceDraws(torch.Generator(module.device).manual_seed(0))
        copy = module.augmentation.copies(batch, draws)
        noise = SliceNoise(list(range(len(slices))), (slices.shape[-2], slices.shape[-1]), module.device)
        denoise = conditional_denoiser(module.network, module.condition, copy)
        levels = module.sde.noise_levels(_PICTURE_STEPS)
        *_, translation = SAMPLERS["dpm-solver++"].solve(denoise, noise() * levels[0], levels, draw_noise=noise)
        rows = torch.cat([torch.cat(list(part[:, 0]), 1) for part in (copy, translation, slices)]).float().cpu()
        self._folder.mkdir(exist_ok=True)
        save_picture(self._folder / f"step-{trainer.global_step:07d}.png", rows.numpy())
        assert isinstance(trainer.logger, TensorBoardLogger)
        trainer.logger.experiment.add_image("translations", rows[None].clamp(0, 1), trainer.global_step)
