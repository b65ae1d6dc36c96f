"""Scans on which an earlier call died: translated last, one by one, in a process whose death ends no call."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..model.checkpoint import load_checkpoint
from ..runs.claims import Claims
from ..runs.distributed import end_with_parent
from .pipeline import Pipeline, keep_failure
from .scan_lines import ScanLines
from .scans import Outputs
from .settings import CohortSettings

_TOKEN = "killed"


@dataclass(frozen=True)
class IsolatedWork:
    """Work for a process of its own.

    Attributes:
        scans: to translate.
        settings: of the cohort.
        device: to compute on.
        output: the folder of all results.
        lines: about the scans of this process, those before these included.
    """

    scans: Sequence[Outputs]
    settings: CohortSettings
    device: torch.device
    output: Path
    lines: ScanLines

    def run(self) -> None:
        """Translate the scans; name those that kill the process, and go on with the others in a new one."""
        left = [*self.scans]
        while left and (status := self._status_with(left)):
            claims = Claims(self.output)
            unfinished = (each for each in left if not each.is_finished() and not claims.is_taken(each.scan.stem))
            culprit = next(unfinished, None)
            if culprit is None:
                return
            keep_failure(culprit, _sentence(status), _TOKEN)
            self.lines.failed(culprit.scan.name, _sentence(status))
            left = left[left.index(culprit) + 1 :]

    def _status_with(self, left: Sequence[Outputs]) -> int:
        """Run a process on the scans that are left; these come last."""
        self.lines.ended = self.lines.total - len(left)
        return _status_of(dataclasses.replace(self, scans=left))


def _status_of(work: IsolatedWork) -> int:
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(work,), daemon=True)
    with _without_main():
        process.start()
    try:
        process.join()
    except BaseException:  # a stop; the claim stays, for the process may have left temporary files
        process.kill()
        process.join()
        raise
    return process.exitcode or 0


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program that called, which a new process would run again where it does not ask for its name."""
    caller = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = caller


def _work(work: IsolatedWork) -> None:
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    checkpoint = load_checkpoint(work.settings.checkpoint)
    pipeline = Pipeline(checkpoint, work.settings, work.device, Claims(work.output), work.lines)
    pipeline.translate_one_by_one(work.scans)


def _sentence(status: int) -> str:
    try:
        reason = f"was killed ({signal.Signals(-status).name})"
    except ValueError:
        reason = f"ended with status {status}"
    return f"The process that translated it {reason}, as for lack of memory; try it on a larger machine.\n"
