"""`train-regression`: the checkpoint of a regression, to compare with."""

from __future__ import annotations

import argparse

from ..training.options import DataOptions, FitOptions, ModelOptions
from .training_arguments import add_contrast, add_data, add_fit, add_folders, add_model, chosen

SUMMARY = "Train a regression in the manner of SynthSR on scans of the target modality alone, to compare with."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..baselines.regression_training import DEFAULT_MODEL
    from ..condition import SOURCE_MAPS

    add_folders(parser)
    add_data(parser.add_argument_group("data"))
    add_model(parser.add_argument_group("model"), DEFAULT_MODEL, maps=SOURCE_MAPS)
    fit = parser.add_argument_group("training")
    add_contrast(fit, FitOptions())
    add_fit(fit, FitOptions())


def run(parsed: argparse.Namespace) -> None:
    from ..baselines.regression_training import train_regression

    path = train_regression(
        parsed.data,
        parsed.output,
        reading=chosen(DataOptions, parsed),
        model=chosen(ModelOptions, parsed),
        fit=chosen(FitOptions, parsed),
        resume=parsed.resume,
    )
    print(f"Wrote {path}")
