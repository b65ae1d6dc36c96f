"""`benchmark quality`: scores of several methods on the same slices."""

from __future__ import annotations

import argparse

from ..arguments import add_comparison, add_spread, comparison, positive, print_report

SUMMARY = "Score several methods on the same slices."
EXAMPLE = "lmidiffusion benchmark quality pairs.csv --output scores --every 4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    hardware = add_comparison(parser, methods=["identity", "tone-map", "lmidiffusion", "target-to-itself"])
    parser.add_argument("--every", type=positive, default=1, help="score every N-th slice")
    parser.add_argument(
        "--expected-error",
        action="store_true",
        help="also score the expected error of lmidiffusion, and draw reliability.png; takes several times as long",
    )
    add_spread(hardware)


def run(parsed: argparse.Namespace) -> None:
    from ...benchmark.quality import QualityOptions, run_quality_benchmark

    options, problems = comparison(QualityOptions, parsed)
    print_report(run_quality_benchmark(options), problems)
