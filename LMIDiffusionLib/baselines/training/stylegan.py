"""`train-stylegan`: from a folder of target-modality scans to the checkpoint of a StyleGAN2 to invert."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightning

from ...training.options import DataOptions, FitOptions
from ...training.trainer import read_split, resume_file
from ..stylegan.generator import StyleGANSettings
from ..stylegan.inversion import KIND
from .stylegan_module import StyleGANTraining
from .trainer import fit_rival

DEFAULT_FIT = FitOptions(learning_rate=2.5e-3, precision="32-true")


@dataclass(frozen=True)
class StyleGANOptions:
    """What is trained, and what its checkpoint says of itself.

    Attributes:
        name: of the exported checkpoint file.
        networks: their shape.
        training_data: what the data are.
        licence: of the weights.
    """

    name: str = KIND
    networks: StyleGANSettings = StyleGANSettings()
    training_data: str = ""
    licence: str = ""


def train_stylegan(
    data: Path,
    output: Path,
    options: StyleGANOptions = StyleGANOptions(),
    *,
    reading: DataOptions = DataOptions(),
    fit: FitOptions = DEFAULT_FIT,
    resume: bool = False,
) -> Path:
    """Train, or go on training, and export the checkpoint.

    Args:
        data: folder of target-modality scans.
        output: folder for logs, pictures and the checkpoint.
        options: what is trained.
        reading: what is read of `data`.
        fit: how it is trained.
        resume: go on where the training in `output` was stopped.

    Returns:
        Path of the exported checkpoint.

    Raises:
        UserError: the data cannot be used, or the output folder holds another training.
    """
    resume_from = resume_file(output, resume=resume)
    lightning.seed_everything(fit.seed, verbose=False)
    networks = options.networks
    module = StyleGANTraining(networks, pixel_size=reading.pixel_size, learning_rate=fit.learning_rate, seed=fit.seed)
    return fit_rival(
        module,
        read_split(data, reading, stride=1),
        output / f"{options.name}.safetensors",
        reading=reading,
        fit=fit,
        resume_from=resume_from,
        training_data=options.training_data,
        licence=options.licence,
    )
