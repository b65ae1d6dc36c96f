"""`train-regression`: train a regression as a baseline."""

from __future__ import annotations

import argparse

from .arguments import add_u_net_training, run_u_net_training

SUMMARY = "Train a regression in the manner of SynthSR on scans of the target modality alone, as a baseline."
EXAMPLE = "lmidiffusion train-regression scans/ --output runs/regression"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ...baselines.training.options import REGRESSION_MODEL
    from ...model.conditioning import SOURCE_MAPS

    add_u_net_training(parser, REGRESSION_MODEL, maps=SOURCE_MAPS)


def run(parsed: argparse.Namespace) -> None:
    from ...baselines.training.regression import train_regression

    run_u_net_training(parsed, train_regression)
