"""Options of the trainings of baselines, and their defaults; they can be read without Lightning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...training.options import Description, FitOptions, ModelOptions
from .. import cyclegan, regression
from ..cyclegan import GeneratorSettings
from ..stylegan import inversion
from ..stylegan.generator import StyleGANSettings

CYCLEGAN_FIT = FitOptions(batch_size=1, learning_rate=2e-4)
"""Batch size and learning rate of Zhu et al."""

STYLEGAN_FIT = FitOptions(learning_rate=2.5e-3, precision="32-true")

REGRESSION_MODEL = ModelOptions(name=regression.KIND, maps=("self", "intensity"))
"""The default checkpoint's maps without the cross map, which needs a noisy slice."""


@dataclass(frozen=True, kw_only=True)
class CycleGANOptions(Description):
    """Choices of a CycleGAN's training, and the description of its checkpoint.

    Attributes:
        source_scans: folder of scans of the source modality.
        source_modality: modality in the names of these files, NAME_<modality>.nii[.gz].
        generator: shape of both generators.
        discriminator_features: channels of the first layer of both discriminators.
    """

    source_scans: Path
    source_modality: str
    name: str = cyclegan.KIND
    generator: GeneratorSettings = GeneratorSettings()
    discriminator_features: int = 32


@dataclass(frozen=True, kw_only=True)
class StyleGANOptions(Description):
    """Choices of a StyleGAN2's training, and the description of its checkpoint.

    Attributes:
        networks: shape of the networks.
    """

    name: str = inversion.KIND
    networks: StyleGANSettings = StyleGANSettings()
