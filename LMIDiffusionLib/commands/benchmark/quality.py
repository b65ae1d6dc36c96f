"""`benchmark quality`: scores of several methods on the same slices."""

from __future__ import annotations

import argparse

from ..arguments import add_comparison, add_spread, positive, print_report, sampling

SUMMARY = "Score several methods on the same slices."
EXAMPLE = "lmidiffusion benchmark quality pairs.csv --output scores --every 4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    hardware = add_comparison(parser, methods=["identity", "tone-map", "lmidiffusion", "target-to-itself"])
    parser.add_argument("--every", type=positive, default=1, help="score every N-th slice")
    add_spread(hardware)


def run(parsed: argparse.Namespace) -> None:
    from ...benchmark.pairs import read_pairs
    from ...benchmark.quality import QualityOptions, run_quality_benchmark

    listed = read_pairs(parsed.pairs)
    options = QualityOptions(
        pairs=listed.pairs,
        output=parsed.output,
        methods=parsed.methods,
        checkpoint=parsed.checkpoint,
        target_scans=parsed.target_scans,
        every=parsed.every,
        device=parsed.device,
        devices=parsed.devices,
        nodes=parsed.nodes,
        translation=sampling(parsed),
    )
    print_report(run_quality_benchmark(options), listed.problems)
