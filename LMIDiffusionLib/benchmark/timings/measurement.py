"""Run time and additional memory of functions and commands."""

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
    """Run time and memory of one operation.

    Attributes:
        name: of the operation.
        device: type of the device that it ran on.
        seconds: median over the timed runs.
        megabytes: peak memory during a run in excess of the memory before it, or the peak of the whole process for a
            command; None on systems that do not report it.
        runs: number of timed runs, after one untimed run.
        axis: the parameter that is varied, for a measurement that belongs to a series.
        value: of that parameter.
    """

    name: str
    device: str
    seconds: float
    megabytes: float | None
    runs: int
    axis: str | None = None
    value: float | None = None


def time_function(
    function: Callable[[], object],
    *,
    name: str,
    device: torch.device,
    runs: int,
    axis: str | None = None,
    value: float | None = None,
) -> Measurement:
    """Run a function once for its memory, then `runs` times for its time."""

    def finish() -> None:
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    megabytes = _extra_megabytes(finish, device)
    seconds = statistics.median(_seconds(finish) for _ in range(runs))
    return Measurement(name, device.type, seconds, megabytes, runs, axis, value)


def time_command(command: Sequence[str], *, name: str, device: torch.device, runs: int) -> Measurement:
    """Run a command in a process of its own, timed from its start to its end."""

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True)

    seconds = statistics.median(_seconds(run) for _ in range(runs))
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Measurement(name, device.type, seconds, kilobytes / 1024, runs)


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
