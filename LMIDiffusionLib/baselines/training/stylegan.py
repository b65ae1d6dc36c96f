"""`train-stylegan`: training of a StyleGAN2 on scans of the target modality, for inversion."""

from __future__ import annotations

from pathlib import Path

from ...training.data.data_module import read_training
from ...training.options import DataOptions, FitOptions
from ...training.trainer import begin_training
from .options import STYLEGAN_FIT, StyleGANOptions
from .stylegan_module import StyleGANTraining
from .trainer import baseline_reading, fit_baseline


def train_stylegan(
    data: Path,
    output: Path,
    options: StyleGANOptions = StyleGANOptions(),
    *,
    reading: DataOptions = DataOptions(),
    fit: FitOptions = STYLEGAN_FIT,
    resume: bool = False,
) -> Path:
    """Train, or resume a training, and export the checkpoint, with the arguments of `training.train.train`.

    Raises:
        UserError: the data cannot be used, or the output folder holds another training.
    """
    reading = baseline_reading(reading)
    resume_from = begin_training(output, seed=fit.seed, resume=resume)
    networks = options.networks
    module = StyleGANTraining(networks, pixel_size=reading.pixel_size, learning_rate=fit.learning_rate, seed=fit.seed)
    return fit_baseline(
        module,
        read_training(data, reading, cache=output / "scans"),
        output,
        description=options,
        reading=reading,
        fit=fit,
        resume_from=resume_from,
    )
