"""`benchmark downstream`: a segmentation tool on sources, translations and true targets."""

from __future__ import annotations

import argparse

from ..arguments import add_comparison, comparison, print_report

SUMMARY = "Compare a segmentation tool's labels on sources and translations with its labels on true targets."
EXAMPLE = 'lmidiffusion benchmark downstream pairs.csv --output dice --tool "python segment.py {input} {output}"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_comparison(parser, methods=["lmidiffusion"])
    parser.add_argument(
        "--tool",
        required=True,
        metavar="COMMAND",
        help="command that reads a scan at {input} and writes a label map to {output}; it runs without a shell",
    )


def run(parsed: argparse.Namespace) -> None:
    from ...benchmark.downstream import DownstreamOptions, run_downstream_benchmark

    options, problems = comparison(DownstreamOptions, parsed)
    print_report(run_downstream_benchmark(options), problems)
