"""`train`: from a folder of target-modality scans to a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Timer
from numpy.typing import NDArray

from ..errors import UserError
from ..model.checkpoint import KERNELS, Checkpoint
from ..model.conditioning import Condition
from ..model.score_network import NetworkSettings
from ..model.sde import VarianceExplodingSDE, largest_distance
from ..segmentation.classes import fit_centres, named_centres
from .augmentation import AUGMENTATIONS
from .callbacks import CheckpointExporter, HeldOutPictures
from .data.dataset import SliceSet
from .data.tissue_order import tissues_from_dark
from .lightning_module import ScoreTraining
from .options import DataOptions, FitOptions, ModelOptions
from .trainer import TrainingData, fit_module, make_trainer, read_split, resume_file, spread
from .warm_start import start_from, start_of

_SIGMA_MIN = 0.01
_STATISTICS_SLICES = 1000


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
        UserError: the data or the checkpoint to start from cannot be used, or the output folder holds another training.
    """
    condition, start = condition_of_options(model), start_of(model)
    resume_from = resume_file(output, resume=resume)
    lightning.seed_everything(fit.seed, verbose=False)
    shape = network_shape(model, condition, start)
    training, held_out = read_split(data, reading, stride=shape.stride)
    module = _module(training, condition, shape, start, fit)
    timer = Timer(verbose=False)
    exporter = CheckpointExporter(output, reading, model, *_centres(training, reading.modality), timer)
    trainer = make_trainer(output, fit, [timer, exporter, HeldOutPictures(held_out, output / "pictures")])
    loaders = TrainingData(training, held_out, fit)
    fit_module(trainer, module, loaders, resume_from)
    exporter.export(trainer, module)
    return exporter.path


def condition_of_options(model: ModelOptions) -> Condition:
    """The maps of a model.

    Raises:
        UserError: they cannot be made.
    """
    try:
        return Condition(model.maps, model.patch_sizes, model.search_size, KERNELS[model.kernel]())
    except ValueError as error:
        raise UserError(f"The maps cannot be made ({error}); choose others.") from error


def network_shape(model: ModelOptions, condition: Condition, start: Checkpoint | None) -> NetworkSettings:
    """Of a model's network, which is the checkpoint's that it starts from but for its maps and blocks."""
    origin = NetworkSettings(channels=model.channels) if start is None else start.network
    return dataclasses.replace(origin, blocks=model.blocks, condition_channels=len(condition.channels))


def with_deviation(shape: NetworkSettings, training: SliceSet, start: Checkpoint | None) -> NetworkSettings:
    """A network's shape with the slices' standard deviation, unless its start was made for another one."""
    if start is not None:
        return shape
    deviation = float(spread(training.images(), _STATISTICS_SLICES).std())
    return dataclasses.replace(shape, sigma_data=round(deviation, 4))


def _module(
    training: SliceSet, condition: Condition, shape: NetworkSettings, start: Checkpoint | None, fit: FitOptions
) -> ScoreTraining:
    slices = spread(training.images(), _STATISTICS_SLICES)
    module = ScoreTraining(
        network=with_deviation(shape, training, start),
        condition=condition,
        sde=VarianceExplodingSDE(_SIGMA_MIN, round(largest_distance(slices), 1)),
        augmentation=AUGMENTATIONS[fit.contrast],
        steps=fit.steps,
        learning_rate=fit.learning_rate,
        seed=fit.seed,
    )
    if start is not None:
        start_from(module.network, ("noisy", *condition.channels), start)
    return module


def _centres(slices: SliceSet, modality: str) -> tuple[dict[int, NDArray[np.float64]], dict[str, float] | None]:
    intensities = spread(slices.images().flatten(), 500_000).numpy()
    centres = {count: fit_centres(intensities, count=count) for count in (3, 5)}
    if not slices.has_masks:
        return centres, None
    some = slices.batch(spread(torch.arange(len(slices)), _STATISTICS_SLICES).tolist())
    from_dark = tissues_from_dark(some, modality=modality)
    if from_dark is None:
        print(f"Without labels nobody knows which tissue is which in {modality}: the checkpoint will name none.")
        return centres, None
    brain = spread(slices.brain_intensities(), 500_000).numpy()
    return centres, named_centres(fit_centres(brain, count=len(from_dark)), from_dark)
