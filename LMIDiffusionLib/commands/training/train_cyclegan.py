"""`train-cyclegan`: a CycleGAN as a baseline."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...training.options import DataOptions, FitOptions, ModelOptions
from ..arguments import positive
from .arguments import add_data, add_description, add_fit, add_folders, chosen

SUMMARY = (
    "Train a CycleGAN as a baseline. This command alone learns from scans of the source modality;"
    " the rest of LMIDiffusion never does."
)
EXAMPLE = "lmidiffusion train-cyclegan scans/ --output runs/cyclegan --source-scans flair/ --source-modality FLAIR"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ...baselines.cyclegan import KIND
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
    add_description(model, ModelOptions(name=KIND))
    generator = CycleGANOptions.generator
    model.add_argument(
        "--features", type=positive, default=generator.features, help="channels of the generators' finest level"
    )
    model.add_argument(
        "--blocks", type=positive, default=generator.blocks, help="number of residual blocks of the generators"
    )
    model.add_argument(
        "--discriminator-features",
        type=positive,
        default=CycleGANOptions.discriminator_features,
        help="channels of the discriminators' first layer",
    )
    add_fit(parser, CYCLEGAN_FIT)


def run(parsed: argparse.Namespace) -> None:
    from ...baselines.cyclegan import GeneratorSettings
    from ...baselines.training.cyclegan import train_cyclegan
    from ...baselines.training.options import CycleGANOptions

    options = CycleGANOptions(
        source_scans=parsed.source_scans,
        source_modality=parsed.source_modality,
        name=parsed.name,
        generator=GeneratorSettings(parsed.features, parsed.blocks),
        discriminator_features=parsed.discriminator_features,
        training_data=parsed.training_data,
        license=parsed.license,
    )
    reading, fit = chosen(DataOptions, parsed), chosen(FitOptions, parsed)
    path = train_cyclegan(parsed.data, parsed.output, options, reading=reading, fit=fit, resume=parsed.resume)
    print(f"Wrote {path}")
