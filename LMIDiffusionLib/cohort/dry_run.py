"""Dry run of a cohort: what the command would do with each file."""

from __future__ import annotations

from collections.abc import Iterator

from .scans import Outputs
from .settings import CohortOptions
from .sidecar import State, state

_PLANS = {
    State.MISSING: "translate",
    State.DONE: "finished",
    State.OTHER: "finished with other settings or files; needs --overwrite",
}


def dry_run(options: CohortOptions, modality: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each chosen scan and of each file that is left out, and what happens to it.

    Args:
        options: of the command.
        modality: of the translations.
    """
    record = options.settings.record()
    for scan in options.cohort.scans:
        if scan.is_chosen:
            found = state(Outputs(options.output, scan, modality), record)
            yield scan.name, "translate again" if options.overwrite and found is not State.MISSING else _PLANS[found]
    for name, reason in (*options.cohort.left_out, *options.cohort.problems):
        yield name, f"left out: {reason}"
    if options.cohort.is_bids:
        yield from _with_scans_of_their_own(options, modality)


def _with_scans_of_their_own(options: CohortOptions, modality: str) -> Iterator[tuple[str, str]]:
    """Yield the measured scans of the target modality beside scans to translate."""
    folders = dict.fromkeys(scan.source.parent for scan in options.cohort.scans if scan.is_chosen)
    sources = {scan.source for scan in options.cohort.scans if scan.is_chosen}
    for folder in folders:
        for path in sorted(folder.glob(f"sub-*_{modality}.nii*")):
            if path not in sources:
                name = path.relative_to(options.cohort.root).as_posix()
                person = "_".join(part for part in path.name.split("_") if part.startswith(("sub-", "ses-")))
                yield name, f"left out: It is a {modality} scan already; {person} has a {modality} of its own."
