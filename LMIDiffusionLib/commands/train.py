"""`train`: a checkpoint from scans of the target modality."""

from __future__ import annotations

import argparse

from ..training.options import DataOptions, FitOptions, ModelOptions
from .training_arguments import add_contrast, add_data, add_fit, add_folders, add_model, chosen

SUMMARY = "Train a checkpoint on scans of the target modality alone."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..condition import MAPS

    add_folders(parser)
    add_data(parser.add_argument_group("data"))
    add_model(parser.add_argument_group("model"), ModelOptions(), maps=MAPS)
    fit = parser.add_argument_group("training")
    add_contrast(fit, FitOptions())
    add_fit(fit, FitOptions())


def run(parsed: argparse.Namespace) -> None:
    from ..training.train import train

    path = train(
        parsed.data,
        parsed.output,
        reading=chosen(DataOptions, parsed),
        model=chosen(ModelOptions, parsed),
        fit=chosen(FitOptions, parsed),
        resume=parsed.resume,
    )
    print(f"Wrote {path}")
