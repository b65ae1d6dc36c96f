"""`train-stylegan`: training of a StyleGAN2 on scans of the target modality, for inversion."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ...images.planes import AXIAL
from ...training.options import DataOptions, FitOptions
from ...training.trainer import begin_training, read_split
from .options import STYLEGAN_FIT, StyleGANOptions
from .stylegan_module import StyleGANTraining
from .trainer import fit_baseline


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
    # It is compared in axial slices alone.
    reading = dataclasses.replace(reading, planes=(AXIAL,))
    resume_from = begin_training(output, seed=fit.seed, resume=resume)
    networks = options.networks
    module = StyleGANTraining(networks, pixel_size=reading.pixel_size, learning_rate=fit.learning_rate, seed=fit.seed)
    return fit_baseline(
        module,
        read_split(data, reading, stride=1),
        output,
        description=options,
        reading=reading,
        fit=fit,
        resume_from=resume_from,
    )
