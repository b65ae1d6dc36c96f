"""Run time and additional memory of functions and commands."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

_MEGABYTE = 2**20
_PROCESS = Path("/proc/self")
# Runs a command from a small process: Linux counts the memory of a process to those that it starts.
_METER = """
import json, subprocess, sys, time
start = time.monotonic()
subprocess.run(sys.argv[1:], check=True, capture_output=True)
report = {"seconds": time.monotonic() - start, "computing": None, "megabytes": None}
try:
    import resource
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report["computing"] = used.ru_utime + used.ru_stime
    report["megabytes"] = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20
except ImportError:  # Windows
    pass
print(json.dumps(report))
"""


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


@dataclass(frozen=True)
class CommandCost:
    """Time and memory that a command took.

    Attributes:
        seconds: from its start to its end.
        computing: seconds of all processors; None on systems that do not report it.
        megabytes: peak of its memory; None on systems that do not report it.
    """

    seconds: float
    computing: float | None
    megabytes: float | None


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
    costs = [measure_command(command) for _ in range(runs)]
    seconds = statistics.median(cost.seconds for cost in costs)
    return Measurement(name, device.type, seconds, costs[-1].megabytes, runs)


def measure_command(command: Sequence[str]) -> CommandCost:
    """Run a command in a process of its own, and return what it took."""
    done = subprocess.run([sys.executable, "-c", _METER, *command], check=True, capture_output=True, text=True)
    return CommandCost(**json.loads(done.stdout))


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
