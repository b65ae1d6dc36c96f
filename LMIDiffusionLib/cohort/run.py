"""Translation of a cohort: missing results are shared out over devices and nodes, and all results are reported."""

from __future__ import annotations

import csv
import io
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..images.files import atomic_path, intended
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.devices import select_device, select_precision
from ..runs.distributed import check_shared_device, kept_failure, launch, share
from ..segmentation.volume_table import volume_table
from .bids import check_derivatives, derivatives_files
from .inputs import Cohort
from .pipeline import Pipeline
from .progress_bar import progress_bar
from .qc_page import qc_page
from .scans import FAILURES, PAGE, VOLUMES, Outputs
from .settings import CohortSettings
from .sidecar import State, read_summary, state

_HEARTBEAT = 0.2  # seconds
_ATTEMPTS = 5


@dataclass(frozen=True)
class CohortOptions:
    """Options of the command; see `lmidiffusion translate-cohort --help`."""

    cohort: Cohort
    output: Path
    settings: CohortSettings = CohortSettings()
    device: str = "auto"
    devices: str = "auto"
    nodes: int = 1
    overwrite: bool = False


@dataclass(frozen=True)
class CohortReport:
    """Outcome of the chosen scans.

    Attributes:
        done: number of scans with results, those of earlier calls included.
        failures: name and reason of each other scan.
    """

    done: int
    failures: list[tuple[str, str]]


@dataclass(frozen=True)
class _Plan:
    """The chosen scans to translate, and those whose results were made with other settings."""

    missing: list[Outputs]
    refused: list[Outputs]


def translate_cohort(options: CohortOptions) -> CohortReport | None:
    """Translate the chosen scans that have no results yet, and write qc.html, volumes.csv and failures.csv.

    Returns:
        The outcome in the first process, None in all others.

    Raises:
        UserError: the checkpoint, the device or the output folder cannot be used.
    """
    check_shared_device(options.device)
    select_precision(options.settings.precision, select_device(options.device))
    checkpoint = load_checkpoint(options.settings.checkpoint)
    _check_settings(options, checkpoint)
    _open_output(options)
    every = [Outputs(options.output, scan, checkpoint.modality) for scan in options.cohort.scans]
    chosen = [outputs for outputs in every if outputs.scan.is_chosen]
    fabric = launch(options.device, devices=options.devices, nodes=options.nodes)
    if fabric.local_rank > 0:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # One process looks, so that all agree on which scans are missing.
    plan = fabric.broadcast(_plan(options, every, chosen) if fabric.is_global_zero else _Plan([], []))
    pipeline = Pipeline(checkpoint, options.settings, fabric.device)
    if not fabric.is_global_zero:
        pipeline.translate_all(share(plan.missing, fabric))
        fabric.barrier()
        return None
    with progress_bar(len(chosen), [outputs.is_finished for outputs in plan.missing]):
        pipeline.translate_all(share(plan.missing, fabric))
        fabric.barrier()
    return _report(options, every, plan)


def _end_with(parent: int) -> None:
    """End this process once its parent has been killed, so that it does not write beside the next call."""
    while os.getppid() == parent:
        time.sleep(_HEARTBEAT)
    os._exit(1)


def _check_settings(options: CohortOptions, checkpoint: Checkpoint) -> None:
    masks = {scan.mask is not None: scan.mask for scan in options.cohort.scans if scan.is_chosen}
    for mask in masks.values():
        options.settings.for_scan(checkpoint, mask=mask).check()


def _open_output(options: CohortOptions) -> None:
    """Make the folder of the results, or fail before minutes are spent."""
    output, cohort = options.output, options.cohort
    if output.resolve() == cohort.root.resolve():
        raise UserError(f"The output {output} is the folder of the scans; choose another.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise UserError(f"The folder {output} cannot be written to ({error.strerror}); choose another.") from error
    if cohort.is_bids:
        check_derivatives(output)


def _plan(options: CohortOptions, every: list[Outputs], chosen: list[Outputs]) -> _Plan:
    """Remove leftovers of killed calls, and list the scans to translate."""
    _remove_leftovers(options.output, {path for outputs in chosen for path in (*outputs.results(), outputs.failure)})
    if options.cohort.is_bids:
        for name, text in derivatives_files(options.cohort.root).items():
            _write(options.output / name, text)
    record = options.settings.record()
    plan = _Plan([], [])
    for outputs in chosen:
        if options.overwrite:
            # A call that is stopped is resumed without --overwrite: a scan without its sidecar is not done.
            outputs.sidecar.unlink(missing_ok=True)
        outputs.failure.unlink(missing_ok=True)
        found = state(outputs, record)
        if found is not State.DONE:
            (plan.refused if found is State.OTHER else plan.missing).append(outputs)
    return plan


def _remove_leftovers(output: Path, results: set[Path]) -> None:
    """Remove temporary files of the cohort and of these results; other scans may belong to another running call."""
    for place, _, files in os.walk(output):
        for name in files:
            path = Path(place, name)
            final = intended(path)
            if final is not None and (final in results or Path(place) == output):
                path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Write a file of the whole cohort; retry if another call has removed the temporary file as a leftover."""
    for attempt in range(_ATTEMPTS):
        try:
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
            return
        except FileNotFoundError:
            if attempt + 1 == _ATTEMPTS:
                raise


def _report(options: CohortOptions, every: list[Outputs], plan: _Plan) -> CohortReport:
    """Write the page and the list of failures of all scans, and return the outcome of the chosen ones."""
    listed = [*options.cohort.problems, *_failures(every, plan)]
    lost = {name for name, _ in listed}
    done = [outputs for outputs in every if outputs.scan.name not in lost and outputs.are_complete()]
    folders = [folder.resolve() for folder in (options.output, options.cohort.root)]
    folders += [options.output, options.cohort.root]
    _write(options.output / PAGE, qc_page(done, listed, folders=folders))
    volumes = volume_table((outputs.scan.name, read_summary(outputs).volumes) for outputs in done)
    _write(options.output / VOLUMES, volumes)
    text = io.StringIO()
    csv.writer(text).writerows([("scan", "reason"), *listed])
    path = options.output / FAILURES
    if listed:
        _write(path, text.getvalue())
    else:
        path.unlink(missing_ok=True)
    chosen = {outputs.scan.name for outputs in every if outputs.scan.is_chosen}
    failures = [
        (name, reason) for name, reason in listed if name in chosen or (name, reason) in options.cohort.problems
    ]
    return CohortReport(len(chosen) - sum(name in chosen for name, _ in failures), failures)


def _failures(every: list[Outputs], plan: _Plan) -> Iterator[tuple[str, str]]:
    refused = {outputs.scan.name for outputs in plan.refused}
    missing = {outputs.scan.name for outputs in plan.missing}
    for outputs in every:
        name = outputs.scan.name
        if name in refused:
            yield name, f"{outputs.sidecar} tells of another checkpoint, other options or other files; add --overwrite."
        elif outputs.failure.exists() and not outputs.sidecar.exists():
            yield name, kept_failure(outputs.failure)
        elif name in missing and not outputs.sidecar.exists():
            yield name, "It has not been translated; call again."
