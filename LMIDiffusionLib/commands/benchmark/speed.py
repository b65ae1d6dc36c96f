"""`benchmark speed`: run times."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from ..arguments import add_device

SUMMARY = "Time LMI, the network and whole translations, and how they scale."
EXAMPLE = "lmidiffusion benchmark speed --plot speed.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ...benchmark.timings.speed import PARTS

    parser.add_argument(
        "--authors-code", type=Path, help="folder with the public code mgh-ccni/midiffusion, to compare with"
    )
    parser.add_argument(
        "--only", nargs="+", choices=list(PARTS), metavar="PART", help=f"parts to measure: {', '.join(PARTS)}"
    )
    parser.add_argument("--plot", type=Path, metavar="PATH", help="plot of the series (.png, .svg or .pdf)")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of lines")
    add_device(parser)


def run(parsed: argparse.Namespace) -> None:
    from ...benchmark.timings.plot import save_series
    from ...benchmark.timings.speed import PARTS, SpeedOptions, circumstances, line, run_speed_benchmark
    from ...images.files import check_output

    if parsed.plot is not None:
        check_output(parsed.plot, overwrite=True, endings=(".png", ".svg", ".pdf"))
    facts = circumstances()
    if not parsed.json:
        print(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None), flush=True)
    options = SpeedOptions(parsed.device, parsed.authors_code, parsed.only or list(PARTS))
    measurements = run_speed_benchmark(
        options, on_measurement=lambda each: None if parsed.json else print(line(each), flush=True)
    )
    if parsed.json:
        print(json.dumps({"circumstances": facts, "measurements": [dataclasses.asdict(each) for each in measurements]}))
    if parsed.plot is not None:
        save_series(parsed.plot, measurements)
