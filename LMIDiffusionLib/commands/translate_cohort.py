"""`translate-cohort`: all scans of a study."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import printable
from ..interface.presets import PRECISIONS
from .arguments import add_sampling, add_spread, lines_wanted, positive, print_line, sampling

if TYPE_CHECKING:
    from ..cohort.run import CohortReport

SUMMARY = "Translate and segment all scans of a folder, a list or a BIDS data set."
EXAMPLE = "lmidiffusion translate-cohort bids/ derivatives/ --suffix T2w FLAIR --find-brain"

LEVELS = ("participant", "group")
_LEFT_OUT = "label maps, or scans of the target modality; --dry-run lists them, a quoted pattern takes them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    scans = parser.add_argument_group("input")
    scans.add_argument(
        "input",
        help="folder, quoted pattern such as 'scans/*/T2w.nii.gz', CSV file of source[,mask], or BIDS data set",
    )
    result = parser.add_argument_group("output")
    result.add_argument("output", type=Path, help="folder of the results")
    scans.add_argument("level", nargs="?", choices=LEVELS, help="accepted as in BIDS Apps; may be left out")
    _add_choice(scans)
    result.add_argument(
        "--find-brain",
        action="store_true",
        help="find the brain in each translation (needs the package deepbet); labels become tissues",
    )
    result.add_argument(
        "--clusters",
        type=positive,
        metavar="N",
        help="intensity classes without a brain (default: the most that the checkpoint knows)",
    )
    result.add_argument(
        "--expected-error",
        action="store_true",
        help="estimate the mean expected error of each translation from a few slices, to find scans that went wrong;"
        " takes about twice as long",
    )
    result.add_argument("--overwrite", action="store_true", help="redo finished scans")
    result.add_argument(
        "--dry-run", action="store_true", help="list what would be translated and what is left out, and stop"
    )
    hardware = add_sampling(parser)
    hardware.add_argument("--precision", choices=PRECISIONS, default="auto", help="as for translate")
    add_spread(hardware)


def _add_choice(group: argparse._ArgumentGroup) -> None:
    for name, prefix in (("participant", "sub-"), ("session", "ses-")):
        group.add_argument(
            f"--{name}-label",
            f"--{name}_label",
            nargs="+",
            metavar="LABEL",
            help=f"{name}s of a BIDS data set, with or without {prefix} (default: all)",
        )
    group.add_argument(
        "--suffix", nargs="+", metavar="SUFFIX", help="contrasts of a BIDS data set (default: PDw T2w FLAIR)"
    )


def run(parsed: argparse.Namespace) -> None:
    if parsed.level == "group":
        print("Nothing to do for group: qc.html and volumes.csv are always complete.")
        return
    _run(parsed)


def _run(parsed: argparse.Namespace) -> None:
    from ..cohort.bids import Choice
    from ..cohort.inputs import find_cohort
    from ..cohort.settings import CohortOptions, CohortSettings
    from ..errors import UserError
    from ..interface.checkpoint_header import read_header
    from ..interface.resources import checkpoint_path
    from ..translation.options import Extra

    labels = (parsed.participant_label, parsed.session_label, parsed.suffix)
    choice = Choice(*(None if each is None else _separate(each) for each in labels))
    modality = read_header(checkpoint_path(parsed.checkpoint)).modality
    cohort = find_cohort(parsed.input, parsed.output, choice, target=modality)
    if parsed.level is not None and not cohort.is_bids:
        raise UserError(f"{parsed.input} is no BIDS data set; give one, or leave out {parsed.level}.")
    options = CohortOptions(
        cohort=cohort,
        output=parsed.output,
        settings=CohortSettings(
            parsed.checkpoint,
            parsed.clusters,
            parsed.find_brain,
            parsed.precision,
            sampling(parsed),
            frozenset({Extra.MEAN_EXPECTED_ERROR} if parsed.expected_error else ()),
        ),
        device=parsed.device,
        devices=parsed.devices,
        nodes=parsed.nodes,
        overwrite=parsed.overwrite,
    )
    if parsed.dry_run:
        from ..cohort.dry_run import dry_run

        _print_plan(dry_run(options, modality))
        return
    from ..cohort.run import translate_cohort  # and Lightning, which takes seconds and 200 MB

    report = translate_cohort(options, **({"tell": print_line} if lines_wanted(parsed) else {}))
    if report is not None and cohort.left_out:
        print(f"{len(cohort.left_out)} files were left out: {_LEFT_OUT}.", file=sys.stderr)
    _tell(report, parsed.output)


def _separate(words: list[str]) -> tuple[str, ...]:
    """Return labels, which may be separated by commas too."""
    return tuple(label for word in words for label in word.split(",") if label)


def _print_plan(plan: Iterable[tuple[str, str]]) -> None:
    actions: Counter[str] = Counter()
    for name, action in plan:
        print(printable(f"{name}: {action}"))
        actions[action.partition(":")[0]] += 1
    print("; ".join(f"{count} {action}" for action, count in actions.items()))


def _tell(report: CohortReport | None, output: Path) -> None:
    """Name the failed scans and the files to look at, and exit with status 1 if a scan failed."""
    from ..cohort.scans import FAILURES, PAGE

    if report is None:
        return
    for name, reason in report.failures:
        print(printable(f"{name}: {reason}"), file=sys.stderr)
    busy = f", {report.busy} in another call" if report.busy else ""
    failed = f"; failed scans: {output / FAILURES}" if report.failures else ""
    counts = f"{report.done} translated, {len(report.failures)} failed{busy}"
    print(printable(f"{counts}; look at {output / PAGE}{failed}"))
    if report.failures:
        sys.exit(1)
