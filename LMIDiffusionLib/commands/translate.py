"""`translate`: a volume to another contrast, with its segmentation."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..interface.presets import PRECISIONS
from .arguments import add_sampling, lines_wanted, positive, sampling, slice_range

if TYPE_CHECKING:
    from ..jobs.reporting import Reporter
    from ..jobs.translation_job import TranslationJob

SUMMARY = "Translate one scan and segment the result."
EXAMPLE = (
    "lmidiffusion translate flair.nii.gz t1w.nii.gz --segmentation tissues.nii.gz --find-brain --volumes volumes.csv"
)

_ONLY_CLASSES = (
    "Without a brain mask these are intensity classes of the whole picture;"
    " add --find-brain for CSF, gray and white matter."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..images.files import VOLUME_ENDINGS

    scan = parser.add_argument_group("input")
    kinds = "NIfTI, Analyze, NRRD, MetaImage, MGH, or a folder of DICOM files"
    scan.add_argument("source", type=Path, help=f"scan of any MR contrast: {kinds}")
    scan.add_argument(
        "--series", type=positive, metavar="N", help="number of a DICOM series, if the folder has several"
    )
    scan.add_argument("--slices", type=slice_range, metavar="A:B", help="axial slices A to B-1 only; 0 is at the feet")
    result = parser.add_argument_group("output")
    result.add_argument("output", type=Path, help=f"translated volume ({', '.join(VOLUME_ENDINGS)})")
    result.add_argument("--segmentation", type=Path, metavar="PATH", help="write a label map of classes or tissues")
    brain = result.add_mutually_exclusive_group()
    brain.add_argument(
        "--mask",
        type=Path,
        metavar="PATH",
        help="brain mask; labels become CSF, gray matter and white matter inside it",
    )
    brain.add_argument(
        "--find-brain", action="store_true", help="find the brain in the translation (needs the package deepbet)"
    )
    result.add_argument(
        "--clusters",
        type=positive,
        metavar="N",
        help="intensity classes without a brain (default: the most that the checkpoint knows)",
    )
    result.add_argument(
        "--uncertainty",
        type=Path,
        metavar="PATH",
        help="write a map of the expected error, in the units of the translation; takes about seven times as long",
    )
    result.add_argument(
        "--sample",
        type=Path,
        metavar="PATH",
        help="write one sharp draw for looking, whose details are made up; its name must contain the word sample;"
        " takes about four times as long",
    )
    result.add_argument(
        "--volumes", type=Path, metavar="PATH", help="write a table of the volumes of classes or tissues (.csv)"
    )
    result.add_argument("--overwrite", action="store_true", help="replace existing files")
    result.add_argument("--events", action="store_true", help="print one JSON object per line, for other programs")
    add_sampling(parser).add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="auto: bfloat16 on CPUs that gain from it, else float32"
    )


def run(parsed: argparse.Namespace) -> None:
    from ..errors import Interrupted

    job = job_of(parsed)
    if (parsed.segmentation or parsed.volumes) and not (job.mask or job.clusters or parsed.events):
        print(f"lmidiffusion: {_ONLY_CLASSES}", file=sys.stderr)
    try:
        with contextlib.closing(_reporter(parsed)) as reporter:
            job.run(reporter)
    except KeyboardInterrupt as stop:
        raise Interrupted("Interrupted; nothing was written.", status=128 + signal.SIGINT) from stop


def _reporter(parsed: argparse.Namespace) -> Reporter:
    from ..jobs.reporting import EventReporter, LogReporter, TerminalReporter

    if parsed.events:
        return EventReporter()
    return LogReporter() if lines_wanted(parsed) else TerminalReporter()


def job_of(parsed: argparse.Namespace) -> TranslationJob:
    """Return the job that the arguments describe."""
    from ..images.dicom.series import Series
    from ..jobs.translation_job import DrawnFiles, ModelChoice, TranslationJob
    from ..translation.scan_pipeline import FOUND

    return TranslationJob(
        source=parsed.source if parsed.series is None else Series(parsed.source, parsed.series),
        output=parsed.output,
        model=ModelChoice(parsed.checkpoint, parsed.device, parsed.precision),
        segmentation=parsed.segmentation,
        mask=FOUND if parsed.find_brain else parsed.mask,
        clusters=parsed.clusters,
        drawn=DrawnFiles(parsed.uncertainty, parsed.sample),
        volumes=parsed.volumes,
        overwrite=parsed.overwrite,
        options=sampling(parsed, parsed.slices),
    )
