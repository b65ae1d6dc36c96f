"""`demo`: translation of the bundled scan, with an image of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import add_device

SUMMARY = "Translate the bundled PDw scan inside its atlas's brain mask and draw the result."
EXAMPLE = "lmidiffusion demo --output demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    result = parser.add_argument_group("output")
    result.add_argument("--output", type=Path, default=Path("demo"), help="folder for the results")
    add_device(parser)


def run(parsed: argparse.Namespace) -> None:
    from ..jobs.demo import run_demo

    run_demo(parsed.output, device=parsed.device)
