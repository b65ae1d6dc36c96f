"""`translate`: a volume to another contrast, with its segmentation."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_sampling, positive, sampling, slice_range

if TYPE_CHECKING:
    from ..jobs.translation_job import TranslationJob

SUMMARY = "Translate a volume and segment the result."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..images.files import VOLUME_ENDINGS
    from ..model.devices import PRECISIONS

    kinds = "NIfTI, Analyze, NRRD, MetaImage, MGH, or a folder of DICOM files"
    parser.add_argument("source", type=Path, help=f"volume of any MR contrast: {kinds}")
    parser.add_argument("output", type=Path, help=f"where the translated volume goes ({', '.join(VOLUME_ENDINGS)})")
    parser.add_argument("--series", type=positive, metavar="N", help="which one of several DICOM series in the source")
    parser.add_argument("--segmentation", type=Path, help="where the K-Means label map goes")
    brain = parser.add_mutually_exclusive_group()
    brain.add_argument("--mask", type=Path, help="brain mask: segment CSF, grey and white matter inside it")
    brain.add_argument("--find-brain", action="store_true", help="find it in the translation, by the package deepbet")
    parser.add_argument(
        "--clusters",
        type=positive,
        help="intensity classes without a mask; the most that the checkpoint knows if not given",
    )
    parser.add_argument("--uncertainty", type=Path, help="where the standard deviation over the samples goes")
    parser.add_argument("--slices", type=slice_range, metavar="A:B", help="axial slices A to B-1 only, 0 at the feet")
    add_sampling(parser)
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the network; auto is bfloat16 on processors that gain from it and float32 elsewhere",
    )
    parser.add_argument("--events", action="store_true", help="print one JSON object a line instead of a progress bar")
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")


def run(parsed: argparse.Namespace) -> None:
    from ..jobs.reporting import EventReporter, TerminalReporter

    with contextlib.closing(EventReporter() if parsed.events else TerminalReporter()) as reporter:
        job_of(parsed).run(reporter)


def job_of(parsed: argparse.Namespace) -> TranslationJob:
    """Return the job that the arguments describe."""
    from ..images.dicom.series import Series
    from ..jobs.translation_job import TranslationJob
    from ..model.devices import Processor
    from ..translation.scan_pipeline import FOUND

    return TranslationJob(
        source=parsed.source if parsed.series is None else Series(parsed.source, parsed.series),
        output=parsed.output,
        checkpoint=parsed.checkpoint,
        segmentation=parsed.segmentation,
        mask=FOUND if parsed.find_brain else parsed.mask,
        clusters=parsed.clusters,
        uncertainty=parsed.uncertainty,
        processor=Processor(parsed.device, parsed.precision),
        overwrite=parsed.overwrite,
        options=sampling(parsed, parsed.slices),
    )
