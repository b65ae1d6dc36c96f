"""`train-stylegan`: training of a StyleGAN2 on scans of the target modality, for inversion."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import lightning

from ...images.planes import AXIAL
from ...training.options import DataOptions, FitOptions
from ...training.trainer import read_split, resume_file
from ..baseline_checkpoint import BaselineTrainingRecord
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
    """Train, or resume a training, and export the checkpoint.

    Args:
        data: folder of target-modality scans.
        output: folder for logs, pictures and the checkpoint.
        options: shape of the networks.
        reading: how `data` is read.
        fit: how the networks are trained.
        resume: resume the training that was stopped in `output`.

    Returns:
        Path of the exported checkpoint.

    Raises:
        UserError: the data cannot be used, or the output folder holds another training.
    """
    # It is compared in axial slices alone.
    reading = dataclasses.replace(reading, planes=(AXIAL,))
    resume_from = resume_file(output, resume=resume)
    lightning.seed_everything(fit.seed, verbose=False)
    networks = options.networks
    module = StyleGANTraining(networks, pixel_size=reading.pixel_size, learning_rate=fit.learning_rate, seed=fit.seed)
    return fit_baseline(
        module,
        read_split(data, reading, stride=1),
        output / f"{options.name}.safetensors",
        reading=reading,
        fit=fit,
        resume_from=resume_from,
        record=BaselineTrainingRecord(options.training_data, options.license),
    )
