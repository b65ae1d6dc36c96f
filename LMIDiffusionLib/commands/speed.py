"""`benchmark speed`: what takes how long."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import add_device

SUMMARY = "Time LMI, the network and a whole translation."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--authors-code", type=Path, help="folder of the public mgh-ccni/midiffusion code to compare with"
    )
    add_device(parser)


def run(parsed: argparse.Namespace) -> None:
    from ..benchmark.speed import run_speed_benchmark

    run_speed_benchmark(device_name=parsed.device, authors_code=parsed.authors_code)
