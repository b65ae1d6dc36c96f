"""`train-cyclegan`: train a CycleGAN as a baseline."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...training.options import Description
from ..arguments import positive
from .arguments import add_data, add_description, add_fit, add_folders, add_option, described, run_training

SUMMARY = (
    "Train a CycleGAN as a baseline. This command alone learns from scans of the source modality;"
    " the rest of LMIDiffusion never does."
)
EXAMPLE = "lmidiffusion train-cyclegan scans/ --output runs/cyclegan --source-scans flair/ --source-modality FLAIR"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ...baselines.training.options import CYCLEGAN_FIT, CycleGANOptions

    add_folders(parser)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--source-scans",
        type=Path,
        required=True,
        help="folder of NAME_<source modality>.nii.gz files; a few of any subjects, without registration",
    )
    data.add_argument("--source-modality", required=True, help="source modality in the file names, such as FLAIR")
    add_data(data)
    model = parser.add_argument_group("model")
    add_description(model, Description(name=CycleGANOptions.name))
    generator = CycleGANOptions.generator
    add_option(model, generator, "features", type=positive, help="channels of the generators' finest level")
    add_option(model, generator, "blocks", type=positive, help="number of residual blocks of the generators")
    first = "channels of the discriminators' first layer"
    add_option(model, CycleGANOptions, "discriminator_features", type=positive, help=first)
    add_fit(parser, CYCLEGAN_FIT)


def run(parsed: argparse.Namespace) -> None:
    from ...baselines.cyclegan import GeneratorSettings
    from ...baselines.training.cyclegan import train_cyclegan
    from ...baselines.training.options import CycleGANOptions

    options = CycleGANOptions(
        source_scans=parsed.source_scans,
        source_modality=parsed.source_modality,
        generator=GeneratorSettings(parsed.features, parsed.blocks),
        discriminator_features=parsed.discriminator_features,
        **described(parsed),
    )
    run_training(parsed, train_cyclegan, options=options)
