"""Translation of a cohort: missing results are shared out over devices and nodes, and all results are reported."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lightning

from ..errors import UserError
from ..images.files import real_path
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.devices import select_device, select_precision
from ..runs.claims import Claim, Claims
from ..runs.distributed import check_shared_device, end_with_parent, kept_failure, launch, share
from ..segmentation.volume_table import HEADING, plain_cell, volume_table
from .bids import DERIVATIVES_TEXTS, check_derivatives, derivatives_files, is_derivatives
from .isolation import IsolatedWork
from .output_folder import begins_with, lies_below, open_output, remove_temporaries, replaced
from .pipeline import Pipeline
from .progress_bar import progress_bar
from .qc_page import PAGE_TITLE, qc_page
from .scans import FAILURES, PAGE, VOLUMES, Outputs
from .settings import CohortOptions
from .sidecar import State, is_readable, read_summary, state

_WHOLE = ""
"""Name under which files of the whole cohort are claimed."""
# Texts at the start of files of the whole cohort, by which they are recognized.
_OWN_TEXTS = {PAGE: PAGE_TITLE, FAILURES: "scan,reason", VOLUMES: ",".join(HEADING[:4]), **DERIVATIVES_TEXTS}


@dataclass(frozen=True)
class CohortReport:
    """Outcome of the chosen scans.

    Attributes:
        done: number of scans with results, those of earlier calls included.
        failures: name and reason of each scan without results.
        busy: number of scans on which another call is at work.
    """

    done: int
    failures: list[tuple[str, str]]
    busy: int = 0


@dataclass(frozen=True)
class _Plan:
    """The chosen scans to translate, those with results of other settings, and those on which an earlier call died."""

    missing: list[Outputs]
    refused: list[Outputs]
    suspects: list[Outputs]

    @property
    def open_scans(self) -> list[Outputs]:
        """All scans to translate."""
        return [*self.missing, *self.suspects]


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
        threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    claims = Claims(options.output)
    # One process looks, so that all agree on which scans are missing.
    plan = fabric.broadcast(_plan(options, chosen, claims) if fabric.is_global_zero else _Plan([], [], []))
    if not fabric.is_global_zero:
        _translate(options, checkpoint, plan, fabric)
        return None
    with progress_bar(len(chosen), [outputs.is_finished for outputs in plan.open_scans]):
        _translate(options, checkpoint, plan, fabric)
    return _report(options, every, plan, claims)


def _translate(options: CohortOptions, checkpoint: Checkpoint, plan: _Plan, fabric: lightning.Fabric) -> None:
    """Translate this process's share of the plan, and wait for the other processes."""
    pipeline = Pipeline(checkpoint, options.settings, fabric.device, Claims(options.output))
    own = share(plan.missing, fabric)
    pipeline.translate_all(own)
    # Other calls may have died or been stopped at scans that were left to them.
    pipeline.translate_all([outputs for outputs in own if not outputs.is_finished()])
    del pipeline
    IsolatedWork(share(plan.suspects, fabric), options.settings, fabric.device, options.output).run()
    fabric.barrier()


def _check_settings(options: CohortOptions, checkpoint: Checkpoint) -> None:
    masks = {scan.mask is not None: scan.mask for scan in options.cohort.scans if scan.is_chosen}
    for mask in masks.values():
        options.settings.for_scan(checkpoint, mask=mask).check()


def _open_output(options: CohortOptions) -> None:
    """Make the folder of the results, or fail before minutes are spent."""
    output, cohort = options.output, options.cohort
    if real_path(output) == real_path(cohort.root):
        raise UserError(f"The output {output} is the folder of the scans; choose another.")
    if cohort.is_bids:
        check_derivatives(output)
    open_output(output, is_ours=lambda folder: begins_with(folder / PAGE, PAGE_TITLE) or is_derivatives(folder))


def _plan(options: CohortOptions, chosen: list[Outputs], claims: Claims) -> _Plan:
    """List the scans to translate; those on which an earlier call died come apart."""
    files = derivatives_files(options.cohort.root) if options.cohort.is_bids else {}
    if not (options.output / PAGE).exists():  # by which the folder is recognized
        files[PAGE] = qc_page([], [])
    with claims.held(_WHOLE) as (claim, dead):
        for name, text in files.items():
            _write(options.output / name, text, claim, dead)
    record = options.settings.record()
    suspects = claims.abandoned([outputs.scan.stem for outputs in chosen])
    plan = _Plan([], [], [])
    for outputs in chosen:
        is_taken = bool(suspects or options.overwrite) and claims.is_taken(outputs.scan.stem)
        if options.overwrite and not is_taken:
            # A call that is stopped is resumed without --overwrite: a scan without its sidecar is not done.
            _unlink(outputs.sidecar, options.output)
        if not is_taken:
            _unlink(outputs.failure, options.output)
        found = state(outputs, record)
        if found is State.OTHER:
            plan.refused.append(outputs)
        elif found is State.MISSING:
            if outputs.sidecar.exists() and not claims.is_taken(outputs.scan.stem):  # it is damaged, or out of date
                _unlink(outputs.sidecar, options.output)
            (plan.suspects if outputs.scan.stem in suspects else plan.missing).append(outputs)
    return plan


def _unlink(path: Path, output: Path) -> None:
    """Remove a file of results, if it is there, and if no link leads its folder out of the output."""
    if path.exists() and lies_below(path.parent, output):
        with contextlib.suppress(OSError):  # whoever may not remove it may not write there either
            path.unlink()


def _write(path: Path, text: str, claim: Claim, dead: tuple[str, ...]) -> None:
    """Write a file of the whole cohort, unless a file of somebody else lies there.

    Raises:
        UserError: it does, and it is the page or one of the lists.
    """
    remove_temporaries((path,), dead)
    if path.exists() and not begins_with(path, _OWN_TEXTS[path.name]):
        if path.name in (PAGE, FAILURES, VOLUMES):
            raise UserError(f"{path} was not written by LMIDiffusion; move it, then call again.")
        return
    with replaced(path, claim.token) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def _give_back_for_the_dead(claims: Claims, done: list[Outputs]) -> None:
    """Remove the claims of processes that died between the last file of a scan and the end of their claim on it."""
    for name in claims.abandoned([outputs.scan.stem for outputs in done]):
        if (taken := claims.take(name)) is not None:
            claims.give_back(taken[0])


def _report(options: CohortOptions, every: list[Outputs], plan: _Plan, claims: Claims) -> CohortReport:
    """Write the page and the list of failures of all scans, and return the outcome of the chosen ones."""
    with claims.held(_WHOLE) as (claim, dead):
        busy = {outputs.scan.name for outputs in plan.open_scans if claims.is_taken(outputs.scan.stem)}
        listed = [*options.cohort.problems, *_failures(options, every, plan, busy)]
        lost = {name for name, _ in listed} | busy
        done = [
            outputs
            for outputs in every
            if outputs.scan.name not in lost and outputs.are_complete() and is_readable(outputs)
        ]
        _give_back_for_the_dead(claims, done)
        _write(options.output / PAGE, qc_page(done, listed), claim, dead)
        summaries = ((outputs.scan.name, read_summary(outputs)) for outputs in done)
        volumes = volume_table((name, each.volumes, each.expected_error) for name, each in summaries)
        _write(options.output / VOLUMES, volumes, claim, dead)
        path = options.output / FAILURES
        if listed:
            _write(path, _table(listed), claim, dead)
        elif begins_with(path, _OWN_TEXTS[FAILURES]):
            path.unlink(missing_ok=True)
    chosen = {outputs.scan.name for outputs in every if outputs.scan.is_chosen}
    failures = [
        (name, reason) for name, reason in listed if name in chosen or (name, reason) in options.cohort.problems
    ]
    lost_ones = sum(name in chosen for name, _ in failures)
    return CohortReport(len(chosen) - lost_ones - len(busy), failures, len(busy))


def _table(failures: list[tuple[str, str]]) -> str:
    """Format the list of failures as CSV without formulas."""
    text = io.StringIO()
    rows = [tuple(map(plain_cell, row)) for row in failures]
    csv.writer(text).writerows([("scan", "reason"), *rows])
    return text.getvalue()


def _failures(options: CohortOptions, every: list[Outputs], plan: _Plan, busy: set[str]) -> Iterator[tuple[str, str]]:
    refused = {outputs.scan.name for outputs in plan.refused}
    missing = {outputs.scan.name for outputs in plan.open_scans}
    record = options.settings.record()
    for outputs in every:
        name = outputs.scan.name
        found = state(outputs, record) if name in missing - busy else None
        if name in refused or found is State.OTHER:
            sidecar = outputs.shown(str(outputs.sidecar))
            yield name, f"{sidecar} tells of another checkpoint, other options or other files; add --overwrite."
        elif outputs.failure.exists() and not outputs.sidecar.exists():
            yield name, kept_failure(outputs.failure)
        elif found is State.MISSING:
            yield name, "It has not been translated; call again."
