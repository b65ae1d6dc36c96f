"""`train`: training of a checkpoint on a folder of target-modality scans."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lightning.pytorch.callbacks import Timer
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from ..model.checkpoint import KERNELS, Checkpoint, Provenance, save_checkpoint
from ..model.conditioning import Condition
from ..model.score_network import NetworkSettings
from ..model.sde import VarianceExplodingSDE, largest_distance
from ..segmentation.classes import fit_centers, named_centers
from .augmentation import AUGMENTATIONS
from .callbacks import CheckpointExporter, HeldOutPictures
from .data.batches import BatchMix
from .data.data_module import cut_data, read_training, sample_slices, training_files
from .data.tissue_order import tissues_from_dark
from .lightning_module import ScoreTraining
from .options import DataOptions, FitOptions, ModelOptions
from .pair_scores import PairScoring
from .record import keep_record, training_record
from .slice_batch import SliceBatch
from .trainer import begin_training, fit_module, make_trainer, spread
from .warm_start import start_from, start_of

_SIGMA_MIN = 0.01
_VALIDATION_STEPS = 1000
_PICTURES = 4


def train(
    data: Path,
    output: Path,
    *,
    reading: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    fit: FitOptions = FitOptions(),
    resume: bool = False,
    pairs: Path | None = None,
) -> Path:
    """Train, or resume a training, and export the checkpoint.

    Args:
        data: folder of target-modality scans.
        output: folder for logs, pictures and the checkpoint.
        reading: how `data` is read.
        model: network, condition maps and start.
        fit: how the network is trained.
        resume: resume the training that was stopped in `output`.
        pairs: CSV file of rows source,target to score at every validation, in scores.csv; the training never sees them.

    Returns:
        Path of the exported checkpoint.

    Raises:
        UserError: the data or the checkpoint to start from cannot be used, or the output folder holds another training.
    """
    condition, start = condition_of_options(model), start_of(model)
    # Unusable input is found before anything is read or written.
    files = training_files(data, reading)
    watching = [] if pairs is None else [PairScoring(pairs, output / "scores.csv", reading)]
    resume_from = begin_training(output, seed=fit.seed, resume=resume)
    shape = network_shape(model, condition, start)
    several = reading.finest_pixel_size < reading.pixel_size
    shape = dataclasses.replace(shape, finest_pixel_size=reading.finest_pixel_size if several else None)
    training, held_out = read_training(data, reading, cache=output / "scans")
    mix = BatchMix(batch_size=fit.batch_size, stride=shape.stride)
    statistics = sample_slices(training, reading, stride=shape.stride)
    module = _module(statistics.images, condition, shape, start, fit)
    timer = Timer(verbose=False)
    names = [scan.name for scan in held_out]
    recipe = training_record(files, names, reading=reading, model=model, fit=fit)
    keep_record(output / "recipe.json", recipe, resumes=resume)
    path = output / f"{model.name}.safetensors"
    write = _writer(path, module, reading, _centers(statistics, reading.modality))
    exporter = CheckpointExporter(write, Provenance(model.training_data, model.license, recipe=recipe), timer)
    loaders = cut_data(training, held_out, reading, fit, mix)
    callbacks = [timer, exporter, HeldOutPictures(loaders.held_out[:_PICTURES], output / "pictures"), *watching]
    every = max(1, min(_VALIDATION_STEPS, fit.steps) // fit.steps_per_epoch)
    trainer = make_trainer(output, fit, callbacks, epochs_per_validation=every)
    fit_module(trainer, module, loaders, resume_from)
    exporter.export(trainer)
    return path


def _writer(
    path: Path,
    module: ScoreTraining,
    reading: DataOptions,
    centers: tuple[dict[int, NDArray[np.float64]], dict[str, float] | None],
) -> Callable[[Provenance], None]:
    def write(provenance: Provenance) -> None:
        class_centers, tissue_centers = centers
        checkpoint = Checkpoint(
            weights=module.network.state_dict(),
            network=module.network.settings,
            condition=module.condition,
            sde=module.sde,
            modality=reading.modality,
            pixel_size=reading.pixel_size,
            planes=reading.planes,
            class_centers=class_centers,
            tissue_centers=tissue_centers,
            provenance=provenance,
        )
        save_checkpoint(checkpoint, path)

    return write


def condition_of_options(model: ModelOptions) -> Condition:
    """Return the condition maps of a model.

    Raises:
        UserError: they cannot be made.
    """
    try:
        return Condition(model.maps, model.patch_sizes, model.search_size, KERNELS[model.kernel]())
    except ValueError as error:
        raise UserError(f"The maps cannot be made ({error}); choose others.") from error


def network_shape(model: ModelOptions, condition: Condition, start: Checkpoint | None) -> NetworkSettings:
    """Return the network's settings: the initial checkpoint's, or the default, with the model's blocks and channels."""
    origin = NetworkSettings(channels=model.channels) if start is None else start.network
    return dataclasses.replace(origin, blocks=model.blocks, condition_channels=len(condition.channels))


def with_deviation(shape: NetworkSettings, slices: Tensor, start: Checkpoint | None) -> NetworkSettings:
    """Set the slices' standard deviation in a network's settings, unless it starts from a checkpoint."""
    if start is not None:
        return shape
    return dataclasses.replace(shape, sigma_data=round(float(slices.std()), 4))


def _module(
    slices: Tensor, condition: Condition, shape: NetworkSettings, start: Checkpoint | None, fit: FitOptions
) -> ScoreTraining:
    module = ScoreTraining(
        network=with_deviation(shape, slices, start),
        condition=condition,
        sde=VarianceExplodingSDE(_SIGMA_MIN, round(largest_distance(slices), 1)),
        augmentation=AUGMENTATIONS[fit.contrast],
        fit=fit,
    )
    if start is not None:
        start_from(module.network, ("noisy", *condition.channels), start)
    return module


def _centers(slices: SliceBatch, modality: str) -> tuple[dict[int, NDArray[np.float64]], dict[str, float] | None]:
    intensities = spread(slices.images.flatten(), 500_000).numpy()
    centers = {count: fit_centers(intensities, count=count) for count in (3, 5)}
    masked = slices.brains.amin((1, 2, 3)) < 1
    if not masked.any():
        return centers, None
    from_dark = tissues_from_dark(slices, modality=modality)
    if from_dark is None:
        print(f"Without labels nobody knows which tissue is which in {modality}: the checkpoint will name none.")
        return centers, None
    brain = slices.images[masked][slices.brains[masked] > 0]
    return centers, named_centers(fit_centers(spread(brain, 500_000).numpy(), count=len(from_dark)), from_dark)
