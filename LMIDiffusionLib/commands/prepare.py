"""`prepare`: alignment of scans of several modalities."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from .arguments import positive, positive_real

SUMMARY = "Align scans of several modalities, split subjects, and write folders for train and benchmark."
EXAMPLE = "lmidiffusion prepare ixi/ --output prepared --target T1w --sources PDw T2w"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        type=Path,
        help="folder of IXI archives or files, of NAME_<modality>.nii.gz, or of NAME/<modality>.nii.gz",
    )
    parser.add_argument("--output", type=Path, required=True, help="new folder, or one to resume")
    parser.add_argument("--target", default="T1w", help="modality to translate to")
    parser.add_argument("--sources", nargs="+", default=["PDw", "T2w"], help="modalities to translate from")
    parser.add_argument(
        "--labels",
        help="suffix of files with DLMUSE labels on the target's grid, NAME_<labels>.nii.gz; they may be missing",
    )
    parser.add_argument("--spacing", type=positive_real, help="voxel size in millimeters; by default the target's own")
    parser.add_argument("--correct-bias", action="store_true", help="correct the bias field (N4)")
    parser.add_argument(
        "--held-out", type=positive, default=10, help="number of subjects kept out of training, as test pairs"
    )
    parser.add_argument(
        "--paper-split", action="store_true", help="100 subjects to train and 25 to test, 3 axial slices of each"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the split")


def run(parsed: argparse.Namespace) -> None:
    from ..preparation import PreparationOptions, prepare

    left_out = prepare(
        PreparationOptions(**{each.name: getattr(parsed, each.name) for each in fields(PreparationOptions)})
    )
    for line in left_out:
        print(f"Left out: {line}")
    print(f"Wrote {parsed.output / 'manifest.json'}")
