"""`evaluate`: scores of translations and of their sources."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_sampling, positive, sampling

if TYPE_CHECKING:
    from ..method import Method
    from ..progress import Progress

SUMMARY = "Score translations, and the untranslated sources, against true targets."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pairs", type=Path, help="CSV file with rows source,target[,mask]")
    parser.add_argument("--csv", type=Path, help="where the scores of every slice go")
    parser.add_argument("--every", type=positive, default=1, help="score every N-th slice")
    add_sampling(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing CSV file")


def run(parsed: argparse.Namespace) -> None:
    from tqdm import tqdm

    from ..baselines import Identity
    from ..benchmark.evaluation import evaluate, format_table, read_pairs, write_csv
    from ..checkpoint import load_checkpoint
    from ..devices import select_device
    from ..diffusion import LMIDiffusion
    from ..files import check_output

    if parsed.csv is not None:
        check_output(parsed.csv, overwrite=parsed.overwrite, endings=(".csv",))
    pairs = read_pairs(parsed.pairs)
    checkpoint, device = load_checkpoint(parsed.checkpoint), select_device(parsed.device)
    methods: dict[str, Method] = {"source": Identity(), "translation": LMIDiffusion(checkpoint, device=device)}
    with tqdm(total=len(pairs), unit="pair", disable=None, bar_format="{desc} {percentage:3.0f}%|{bar}|") as bar:

        def show(name: str, progress: Progress) -> None:
            bar.set_description_str(name, refresh=False)
            bar.update(int(bar.n) + progress.fraction - bar.n)

        scores = evaluate(pairs, methods, sampling(parsed), checkpoint=checkpoint, every=parsed.every, on_progress=show)
        results = list(scores)
    print(format_table(results))
    if parsed.csv is not None:
        write_csv(results, parsed.csv)
