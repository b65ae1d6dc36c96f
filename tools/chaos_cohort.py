"""Kill calls of `translate-cohort` on one folder at random moments, and compare the end with an undisturbed run.

python tools/chaos_cohort.py [--kills 50] [--calls 3] [--together 10] [--scans 60]

Ends with 1 if a scan was not translated, was translated again after it was done, or has other bytes.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Library"))

from cohort_calls import content, finish, start

from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume
from LMIDiffusionLib.jobs.demo import sample_scan

_QUICK = ["--quality", "fast", "--device", "cpu"]


def main() -> int:
    """Print what happened, and return 1 if the end differs."""
    parser = argparse.ArgumentParser(description="Kill calls of translate-cohort, and compare the end.")
    for name, default in (("kills", 50), ("calls", 3), ("together", 10), ("scans", 60)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as place:
        folder = Path(place, "scans")
        folder.mkdir()
        _write_scans(folder, parsed.scans)
        undisturbed, disturbed, together = (Path(place, name) for name in ("undisturbed", "disturbed", "together"))
        words = ["translate-cohort", str(folder)]
        print("undisturbed:", finish([*words, str(undisturbed), *_QUICK]), flush=True)
        wanted = content(undisturbed)
        killed, again = _kill([*words, str(disturbed), *_QUICK], disturbed, parsed.calls, parsed.kills)
        print(f"{parsed.calls} calls, {killed} kills: {again} scans translated again after they were done")
        calls = [start([*words, str(together), *_QUICK])[0] for _ in range(parsed.together)]
        statuses = Counter(each.status() for each in calls)
        print(f"{parsed.together} calls at once: statuses {dict(statuses)}")
        wrong = [*_differences(wanted, content(disturbed)), *_differences(wanted, content(together))]
        print("other bytes:", ", ".join(wrong) or "none", f"of {len(wanted)} files")
    return int(bool(wrong) or again > 0 or set(statuses) != {0})


def _write_scans(folder: Path, count: int) -> None:
    """Write four slices of a scan with large pixels, moved a little each time."""
    whole = read_volume(sample_scan("ms_patient04_T2w"))
    affine = whole.affine.copy()
    affine[:3, 3] = (whole.affine @ [0, 0, 18, 1])[:3]
    affine[:3, :2] *= 3
    thin = np.ascontiguousarray(whole.array[::3, ::3, 18:22])
    for number in range(count):
        write_volume(folder / f"{number}.nii.gz", Volume(np.roll(thin, number % 30, 0) + number // 30, affine))


def _kill(words: list[str], output: Path, count: int, kills: int) -> tuple[int, int]:
    """Kill one of several calls, start it anew, and so on; the kills, and the scans that were done twice."""
    moments = random.Random(0)
    calls = [start(words)[0] for _ in range(count)]
    done: dict[Path, int] = {}
    killed = again = 0

    def look() -> int:
        found = {path: path.stat().st_mtime_ns for path in output.glob("*_T1w.json")}
        changed = sum(done[path] != moment for path, moment in found.items() if path in done)
        done.update(found)
        return changed

    while killed < kills:
        time.sleep(moments.uniform(0.05, 1.0))
        victim = moments.randrange(count)
        calls[victim].kill()
        killed += calls[victim].status() < 0
        again += look()
        calls[victim] = start(words)[0]
    print("statuses at the end:", [each.status() for each in calls])
    return killed, again + look()


def _differences(wanted: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Names of the files that differ or are on one side alone."""
    return [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]


if __name__ == "__main__":
    sys.exit(main())
