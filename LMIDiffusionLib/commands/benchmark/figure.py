"""`benchmark figure`: a figure of several methods side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..arguments import add_methods, comparison

SUMMARY = "Draw the middle slice of every pair by several methods, with close-ups and classes."
EXAMPLE = "lmidiffusion benchmark figure pairs.csv --output figure.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_methods(parser, methods=["lmidiffusion", "target-to-itself"])
    parser.add_argument("--output", type=Path, default=Path("figure.png"), help="file to write (.png or .webp)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run(parsed: argparse.Namespace) -> None:
    from ...benchmark.figure import FigureOptions, draw_figure
    from ...errors import UserError

    options, problems = comparison(FigureOptions, parsed)
    if problems:
        raise UserError("\n".join(problems))
    draw_figure(options)
    print(f"Wrote {parsed.output}")
