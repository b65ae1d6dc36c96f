"""`train`: a checkpoint from scans of the target modality."""

from __future__ import annotations

import argparse

from ...training.options import ModelOptions
from .arguments import add_u_net_training, run_u_net_training

SUMMARY = "Train a checkpoint on scans of the target modality alone."
EXAMPLE = "lmidiffusion train scans/ --output runs/t2w --modality T2w --name my-t2w --steps 20000"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ...model.conditioning import MAPS

    add_u_net_training(parser, ModelOptions(), maps=MAPS)


def run(parsed: argparse.Namespace) -> None:
    from ...training.train import train

    run_u_net_training(parsed, train)
