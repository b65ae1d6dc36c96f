"""`train`: train a checkpoint on scans of the target modality."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from ...training.options import DataOptions, ModelOptions
from ..arguments import positive_real
from .arguments import add_option, add_u_net_training, run_u_net_training

SUMMARY = "Train a checkpoint on scans of the target modality alone."
EXAMPLE = "lmidiffusion train scans/ --output runs/t2w --modality T2w --name my-t2w --steps 20000"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ...model.conditioning import MAPS

    add_u_net_training(parser, ModelOptions(), maps=MAPS)
    more = parser.add_argument_group("several pixel sizes, label maps")
    finest = "smallest side of a pixel in millimeters, learned from scans as fine; that of --pixel-size for one"
    add_option(more, DataOptions(), "finest_pixel_size", type=positive_real, metavar="MM", help=finest)
    more.add_argument(
        "--label-maps",
        type=Path,
        metavar="FOLDER",
        help="label maps of heads (FreeSurfer's numbers, outside the brain SynthSeg's) to draw T1w scans of",
    )
    more.add_argument(
        "--pairs",
        type=Path,
        metavar="CSV",
        help="rows source,target to score every 1,000 steps, in scores.csv; the training never sees them",
    )


def run(parsed: argparse.Namespace) -> None:
    from ...training.train import train

    run_u_net_training(parsed, functools.partial(train, pairs=parsed.pairs))
