"""`demo`: the bundled scan, translated and drawn."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import add_device

SUMMARY = "Translate the bundled PDw scan and draw the result."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for the results, made if needed")
    add_device(parser)


def run(parsed: argparse.Namespace) -> None:
    from ..jobs.demo import run_demo

    run_demo(parsed.output, device=parsed.device)
