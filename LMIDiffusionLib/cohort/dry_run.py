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
