"""`benchmark quality`: several methods on the same slices."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import add_sampling, positive, sampling

SUMMARY = "Score several methods on the same slices."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pairs", type=Path, help="CSV file with rows source,target[,mask]")
    parser.add_argument("--output", type=Path, required=True, help="new folder, or one to go on with")
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["identity", "sdedit-0.2", "sdedit-0.5", "lmidiffusion"],
        help="of identity, histogram-matching, sdedit-T with T in (0, 1], lmidiffusion,"
        " lmidiffusion-STEPSxSAMPLES[wGUIDANCE], lmidiffusion@CHECKPOINT",
    )
    parser.add_argument("--target-scans", type=Path, help="folder of target-modality scans, whose histogram is matched")
    parser.add_argument("--every", type=positive, default=1, help="score every N-th slice")
    parser.add_argument("--devices", default="auto", help="how many, or which, as Lightning takes it")
    parser.add_argument("--nodes", type=positive, default=1, help="machines")
    add_sampling(parser)


def run(parsed: argparse.Namespace) -> None:
    from ..benchmark.evaluation import read_pairs
    from ..benchmark.quality import QualityOptions, run_quality_benchmark

    options = QualityOptions(
        pairs=read_pairs(parsed.pairs),
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
    table = run_quality_benchmark(options)
    if table is not None:
        print(table)
