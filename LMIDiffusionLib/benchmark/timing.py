"""How long something takes and how much memory it takes for itself."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

_MEGABYTE = 2**20
_PROCESS = Path("/proc/self")


@dataclass(frozen=True)
class Measurement:
    """What something took.

    Attributes:
        what: it is.
        device: where it ran.
        seconds: median over the runs.
        megabytes: highest memory in use during a run, beyond that before it, or of the whole process where one was
            started; None where the system does not tell.
        runs: how many were timed, after one that was not.
        axis: what is varied, if this is one of a series.
        value: of what is varied.
    """

    what: str
    device: str
    seconds: float
    megabytes: float | None
    runs: int
    axis: str | None = None
    value: float | None = None


def measured(
    function: Callable[[], object],
    *,
    what: str,
    device: torch.device,
    runs: int,
    axis: str | None = None,
    value: float | None = None,
) -> Measurement:
    """Run a function, once for its memory and as often as told for its time."""

    def finished() -> None:
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    megabytes = _extra_megabytes(finished, device)
    seconds = statistics.median(_seconds(finished) for _ in range(runs))
    return Measurement(what, device.type, seconds, megabytes, runs, axis, value)


def measured_command(command: Sequence[str], *, what: str, device: torch.device, runs: int) -> Measurement:
    """Run a command in processes of its own, from their start to their end."""

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True)

    seconds = statistics.median(_seconds(run) for _ in range(runs))
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Measurement(what, device.type, seconds, kilobytes / 1024, runs)


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _extra_megabytes(function: Callable[[], object], device: torch.device) -> float | None:
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        return (torch.cuda.max_memory_allocated(device) - before) / _MEGABYTE
    if not (_PROCESS / "clear_refs").exists():
        function()
        return None
    before = _resident_kilobytes("VmRSS")
    (_PROCESS / "clear_refs").write_text("5")  # resets the high-water mark
    function()
    return (_resident_kilobytes("VmHWM") - before) / 1024


def _resident_kilobytes(field: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))
