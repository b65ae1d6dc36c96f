"""`translate-cohort`: all scans of a study."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_sampling, positive, sampling

if TYPE_CHECKING:
    from ..cohort import CohortReport

SUMMARY = "Translate and segment all scans of a folder, a list or a BIDS data set; goes on where it was stopped."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..model.devices import PRECISIONS

    parser.add_argument(
        "input",
        help="folder, quoted pattern such as 'scans/*/T2w.nii.gz', CSV file with source[,mask], or BIDS data set",
    )
    parser.add_argument("output", type=Path, help="folder of the results; derivatives of a BIDS data set")
    parser.add_argument("level", nargs="?", choices=["participant"], help="as BIDS Apps are called; may be left out")
    _add_choice(parser.add_argument_group("of a BIDS data set"))
    parser.add_argument(
        "--find-brain", action="store_true", help="find brains in translations, by the package deepbet: tissues"
    )
    parser.add_argument(
        "--clusters",
        type=positive,
        help="intensity classes without a brain; the most that the checkpoint knows if not given",
    )
    add_sampling(parser)
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the network, as for translate")
    parser.add_argument("--devices", default="auto", help="how many, or which, as Lightning takes it")
    parser.add_argument("--nodes", type=positive, default=1, help="machines")
    parser.add_argument("--overwrite", action="store_true", help="translate what is done again")


def _add_choice(group: argparse._ArgumentGroup) -> None:
    for name, metavar, what in (
        ("participant", "LABEL", "participants, with or without sub-; all if not given"),
        ("session", "LABEL", "sessions, with or without ses-; all if not given"),
    ):
        options = (f"--{name}-label", f"--{name}_label")
        group.add_argument(*options, nargs="+", metavar=metavar, help=what)
    group.add_argument("--suffix", nargs="+", help="contrasts, as names end; PDw, T2w and FLAIR if not given")


def run(parsed: argparse.Namespace) -> None:
    from ..cohort import Choice, CohortOptions, find_cohort, translate_cohort
    from ..cohort.settings import CohortSettings
    from ..errors import UserError

    labels = (parsed.participant_label, parsed.session_label, parsed.suffix)
    cohort = find_cohort(
        parsed.input, parsed.output, Choice(*(None if each is None else tuple(each) for each in labels))
    )
    if parsed.level is not None and not cohort.is_bids:
        raise UserError(f"{parsed.input} is no BIDS data set; give one, or leave out {parsed.level}.")
    options = CohortOptions(
        cohort=cohort,
        output=parsed.output,
        settings=CohortSettings(
            parsed.checkpoint, parsed.clusters, parsed.find_brain, parsed.precision, sampling(parsed)
        ),
        device=parsed.device,
        devices=parsed.devices,
        nodes=parsed.nodes,
        overwrite=parsed.overwrite,
    )
    _tell(translate_cohort(options), parsed.output)


def _tell(report: CohortReport | None, output: Path) -> None:
    """Name what has failed, and leave with status 1 if anything has."""
    if report is None:
        return
    for name, reason in report.failures:
        print(f"{name}: {reason}", file=sys.stderr)
    print(f"{report.done} scans are translated, {len(report.failures)} could not be; see {output}.")
    if report.failures:
        sys.exit(1)
