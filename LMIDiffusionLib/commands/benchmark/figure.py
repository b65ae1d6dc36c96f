"""`benchmark figure`: a picture of what several methods draw."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..arguments import add_methods, sampling

SUMMARY = "Draw the middle slice of every pair as several methods do, with close-ups and classes."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_methods(parser, methods=["lmidiffusion", "ceiling"])
    parser.add_argument("--output", type=Path, default=Path("figure.png"), help="picture (.png or .webp)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing picture")


def run(parsed: argparse.Namespace) -> None:
    from ...benchmark.figure import FigureOptions, draw_figure
    from ...benchmark.pairs import read_pairs
    from ...errors import UserError

    listed = read_pairs(parsed.pairs)
    if listed.problems:
        raise UserError("\n".join(listed.problems))
    options = FigureOptions(
        pairs=listed.pairs,
        output=parsed.output,
        methods=parsed.methods,
        checkpoint=parsed.checkpoint,
        target_scans=parsed.target_scans,
        device=parsed.device,
        overwrite=parsed.overwrite,
        translation=sampling(parsed),
    )
    draw_figure(options)
    print(f"Wrote {parsed.output}")
