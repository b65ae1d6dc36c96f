"""Speed of `translate-cohort` beside a loop over `translate`, its memory over many scans, and the cost of its plan.

python tools/measure_cohort.py speed SCAN SCAN ... [--devices N]
python tools/measure_cohort.py memory [--scans 200]
python tools/measure_cohort.py plan [--scans 100000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from LMIDiffusionLib.benchmark.timings.measurement import measure_command
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume
from LMIDiffusionLib.jobs.demo import sample_scan

_COMMAND = [sys.executable, "-m", "LMIDiffusionLib"]
_OPTIONS = ["--device", "cpu"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    speed = parts.add_parser("speed")
    speed.add_argument("scans", nargs="+", type=Path)
    speed.add_argument("--devices", default="1", help="processes of translate-cohort")
    speed.set_defaults(run=lambda parsed: measure_speed(parsed.scans, parsed.devices))
    memory = parts.add_parser("memory")
    memory.add_argument("--scans", type=int, default=200)
    memory.set_defaults(run=lambda parsed: measure_memory(parsed.scans))
    plan = parts.add_parser("plan")
    plan.add_argument("--scans", type=int, default=100_000)
    plan.set_defaults(run=lambda parsed: measure_plan(parsed.scans))
    parsed = parser.parse_args()
    parsed.run(parsed)


def measure_plan(count: int) -> None:
    """Print time and memory of `--dry-run` over a tree of empty files, 100 in a folder."""
    with tempfile.TemporaryDirectory() as place:
        for number in range(count):
            folder = Path(place, "scans", f"sub-{number // 100:05}")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"sub-{number // 100:05}_run-{number % 100:02}_T2w.nii.gz").touch()
        command = [*_COMMAND, "translate-cohort", str(Path(place, "scans")), str(Path(place, "results")), "--dry-run"]
        cost = measure_command(command)
    print(f"{count} scans: {cost.seconds:.1f} s, computing {cost.computing:.1f} s, {cost.megabytes:.0f} MB")


def measure_speed(scans: list[Path], devices: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        listed = folder / "scans.csv"
        listed.write_text("\n".join(["source", *(str(scan.resolve()) for scan in scans)]))
        cohort = [*_COMMAND, "translate-cohort", str(listed), str(folder / "cohort"), *_OPTIONS, "--devices", devices]
        _report("translate-cohort", len(scans), lambda: _run(cohort))
        _report("a loop over translate", len(scans), lambda: [_translate(scan, folder) for scan in scans])


def _translate(scan: Path, folder: Path) -> None:
    outputs = [str(folder / f"{scan.name}-{kind}.nii.gz") for kind in ("t1w", "classes")]
    _run([*_COMMAND, "translate", str(scan), outputs[0], "--segmentation", outputs[1], *_OPTIONS])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _report(name: str, count: int, work: Callable[[], object]) -> None:
    start, before = time.monotonic(), os.times()
    work()
    seconds, after = time.monotonic() - start, os.times()
    used = sum(after[2:4]) - sum(before[2:4])
    print(f"{name}: {3600 * count / seconds:.0f} scans an hour; {used / count:.1f} s of a processor each", flush=True)


def measure_memory(count: int) -> None:
    """Peak and present memory of the process, every so many scans."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        whole = read_volume(sample_scan("ms_patient04_T2w"))
        affine = whole.affine @ np.diag([2, 2, 1, 1])
        write_volume(folder / "scan.nii.gz", Volume(np.ascontiguousarray(whole.array[::2, ::2, 16:24]), affine))
        names = [folder / "scans" / f"{number:04}.nii.gz" for number in range(count)]
        names[0].parent.mkdir()
        for name in names:
            name.symlink_to(folder / "scan.nii.gz")
        (folder / "list.csv").write_text("\n".join(["source", *map(str, names)]))
        command = [*_COMMAND, "translate-cohort", str(folder / "list.csv"), str(folder / "out"), "--quality", "fast"]
        process = subprocess.Popen([*command, *_OPTIONS])
        watch = threading.Thread(target=_watch, args=(process.pid, folder / "out", count), daemon=True)
        watch.start()
        process.wait()


def _watch(process: int, output: Path, count: int) -> None:
    told = -1
    while True:
        done = len([*output.rglob("*_T1w.json")])
        if done // (count // 10) > told:
            told = done // (count // 10)
            status = dict(line.split(":\t") for line in Path(f"/proc/{process}/status").read_text().splitlines())
            megabytes = {name: int(status[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM")}
            print(f"{done:4} scans: {megabytes['VmRSS']} MB now, {megabytes['VmHWM']} MB at most", flush=True)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
