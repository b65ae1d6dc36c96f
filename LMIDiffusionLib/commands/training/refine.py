"""`refine`: a checkpoint for one source, from a few people who have both scans."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

from ...interface.resources import DEFAULT_CHECKPOINT
from ..arguments import positive

SUMMARY = "Refine a checkpoint on a few people of your own scanner who have both scans."
EXAMPLE = "lmidiffusion refine scans/ --source FLAIR --output my-flair.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pairs",
        type=Path,
        help="folder of NAME_<source> and NAME_<target> scans, which are aligned first; or CSV file of aligned pairs"
        " with columns source, target and, if a person has several, subject",
    )
    parser.add_argument("--source", required=True, metavar="NAME", help="contrast of the source, as in the file names")
    parser.add_argument("--output", type=Path, required=True, help="file of the refined checkpoint (.safetensors)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="NAME_OR_PATH", help="start")
    parser.add_argument("--steps", type=positive, default=120, metavar="N", help="optimizer steps at most")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: one per core)")


def run(parsed: argparse.Namespace) -> None:
    from ...images.files import check_output
    from ...interface.checkpoint_header import SUFFIX
    from ...model.checkpoint import load_checkpoint
    from ...preparation.pairs import align_pairs
    from ...training.data.pairs import read_pair_files
    from ...training.refinement import RefinementOptions, refine

    check_output(parsed.output, overwrite=parsed.overwrite, endings=(SUFFIX,))
    options = RefinementOptions(
        parsed.checkpoint, parsed.source, steps=parsed.steps, seed=parsed.seed, overwrite=parsed.overwrite
    )
    with contextlib.ExitStack() as stack:
        pairs = parsed.pairs
        if pairs.is_dir():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            target = load_checkpoint(parsed.checkpoint).modality
            pairs = align_pairs(parsed.pairs, folder, target=target, source=parsed.source)
        result = refine(read_pair_files(pairs), parsed.output, options)
    print(f"Wrote {parsed.output}: {result.before:.2f} -> {result.after:.2f} dB on {result.held_out}, held out")
