"""Translation of a cohort: missing results are shared out over devices and nodes, and all results are reported."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

import lightning

from ..errors import Interrupted, UserError
from ..images.files import real_path
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.devices import select_device, select_precision
from ..runs.claims import Claim, Claims
from ..runs.distributed import check_shared_device, end_with_parent, kept_failure, launch, share
from ..segmentation.volume_table import HEADING, plain_cell, volume_table
from .bids import DERIVATIVES_TEXTS, check_derivatives, derivatives_files, is_derivatives
from .isolation import IsolatedWork
from .output_folder import begins_with, lies_below, open_output, remove_temporaries, replaced
from .pipeline import Pipeline, without_name
from .progress_bar import progress_bar
from .qc_page import PAGE_TITLE, qc_page
from .scan_lines import ScanLines
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


def _ignore(line: str) -> None:
    pass


def translate_cohort(options: CohortOptions, *, tell: Callable[[str], None] = _ignore) -> CohortReport | None:
    """Translate the chosen scans that have no results yet, and write qc.html, volumes.csv and failures.csv.

    Args:
        options: of the command.
        tell: takes a line at the start and one about each scan; a function of a module.

    Returns:
        The outcome in the first process, None in all others.

    Raises:
        UserError: the checkpoint, the device or the output folder cannot be used.
        Interrupted: the user or the system has stopped the work; page and lists are up to date.
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
        with _claims_returned(claims):
            _translate(options, checkpoint, plan, fabric, claims, tell)
        return None
    try:
        with _claims_returned(claims), progress_bar(len(chosen), [each.is_finished for each in plan.open_scans]):
            if plan.open_scans:
                tell(_first_line(options, plan, chosen, fabric))
                # So that the page says so if this process is killed.
                _report(options, every, plan, claims, left={each.scan.name for each in plan.open_scans})
            _translate(options, checkpoint, plan, fabric, claims, tell)
    except (KeyboardInterrupt, SystemExit) as stop:
        raise _interrupted(options, every, plan, claims, status=_status_of(stop)) from stop
    return _report(options, every, plan, claims)


@contextlib.contextmanager
def _claims_returned(claims: Claims) -> Iterator[None]:
    """Give all claims of this process back if it is stopped."""
    try:
        yield
    finally:
        claims.give_all_back()


def _status_of(stop: BaseException) -> int:
    return stop.code if isinstance(stop, SystemExit) and isinstance(stop.code, int) else 128 + signal.SIGINT


def _first_line(options: CohortOptions, plan: _Plan, chosen: list[Outputs], fabric: lightning.Fabric) -> str:
    device = f"{fabric.device.type}, {fabric.world_size} processes" if fabric.world_size > 1 else fabric.device
    return f"{len(plan.open_scans)} of {len(chosen)} scans to translate on {device}; {options.settings.options.quality}"


def _interrupted(
    options: CohortOptions, every: list[Outputs], plan: _Plan, claims: Claims, *, status: int
) -> Interrupted:
    """Bring page and lists up to date, and return what is done and left."""
    left = {outputs.scan.name for outputs in plan.open_scans if not outputs.is_finished()}
    done = sum(outputs.sidecar.exists() for outputs in plan.open_scans)
    failed = len(plan.open_scans) - len(left) - done
    _report(options, every, plan, claims, left=left)
    counts = f"{done} scan{'' if done == 1 else 's'} finished, {f'{failed} failed, ' if failed else ''}{len(left)} left"
    way = "the same command without --overwrite" if options.overwrite else "the same command"
    return Interrupted(f"Interrupted: {counts}. Run {way} to continue.", status=status)


def _translate(
    options: CohortOptions,
    checkpoint: Checkpoint,
    plan: _Plan,
    fabric: lightning.Fabric,
    claims: Claims,
    tell: Callable[[str], None],
) -> None:
    """Translate this process's share of the plan, and wait for the other processes."""
    own, suspects = share(plan.missing, fabric), share(plan.suspects, fabric)
    prefix = f"process {fabric.global_rank + 1}: " if fabric.world_size > 1 else ""
    lines = ScanLines(len(own) + len(suspects), tell, prefix)
    pipeline = Pipeline(checkpoint, options.settings, fabric.device, claims, lines)
    pipeline.translate_all(own)
    # Other calls may have died or been stopped at scans that were left to them.
    pipeline.translate_all([outputs for outputs in own if not outputs.is_finished()])
    del pipeline
    IsolatedWork(suspects, options.settings, fabric.device, options.output, lines).run()
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


def _report(
    options: CohortOptions, every: list[Outputs], plan: _Plan, claims: Claims, *, left: Set[str] = frozenset()
) -> CohortReport:
    """Write the page and the lists of all scans, and return the outcome of the chosen ones.

    Args:
        options: of the command.
        every: scan, chosen or not.
        plan: of this call.
        claims: in the output folder.
        left: names of scans that are still to come, or that a stop leaves.
    """
    with claims.held(_WHOLE) as (claim, dead):
        taken = {outputs.scan.name for outputs in plan.open_scans if claims.is_taken(outputs.scan.stem)}
        busy = taken | left
        listed = [*options.cohort.problems, *_failures(options, every, plan, busy)]
        lost = {name for name, _ in listed} | busy
        done = [
            outputs
            for outputs in every
            if outputs.scan.name not in lost and outputs.are_complete() and is_readable(outputs)
        ]
        _give_back_for_the_dead(claims, done)
        _write(options.output / PAGE, qc_page(done, listed, left=len(busy)), claim, dead)
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
            yield name, without_name(kept_failure(outputs.failure), name)
        elif found is State.MISSING:
            yield name, "It has not been translated; call again."
