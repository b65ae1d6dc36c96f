"""Gain of `refine` for people that it has not seen, by the number of people that it is given and by seed.

python tools/measure_refine.py PAIRS OUTPUT --source FLAIR --pool 1,2,3,4 --test 5,6 [--people 1 2 4] [--seeds 3]

PAIRS is a CSV list of aligned pairs with the columns source, target and subject. Each seed draws its people from the
pool anew. What is in OUTPUT already is not done again.
"""

from __future__ import annotations

import argparse
import csv
import random
import subprocess
import sys
from pathlib import Path

_COMMAND = [sys.executable, "-m", "LMIDiffusionLib"]
_NOTHING_BETTER = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--pool", required=True, help="subjects to refine on, with commas")
    parser.add_argument("--test", required=True, help="subjects to score, with commas")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", default="12", help="scored slices")
    parsed = parser.parse_args()
    with parsed.pairs.open(newline="") as file:
        rows = list(csv.DictReader(file))
    parsed.output.mkdir(parents=True, exist_ok=True)
    pool = parsed.pool.split(",")
    methods = []
    for count in parsed.people:
        for seed in range(parsed.seeds):
            chosen = random.Random(seed).sample(pool, count)
            refined = parsed.output / f"{count}-people-seed-{seed}.safetensors"
            methods += _refined(
                refined, [row for name in chosen for row in rows if row["subject"] == name], parsed, seed
            )
    others = parsed.output / "test.csv"
    _write(others, [row for row in rows if row["subject"] in parsed.test.split(",")])
    command = [*_COMMAND, "benchmark", "quality", str(others), "--output", str(parsed.output / "scores")]
    subprocess.run([*command, "--every", parsed.every, "--methods", "identity", "lmidiffusion", *methods], check=True)


def _refined(output: Path, rows: list[dict[str, str]], parsed: argparse.Namespace, seed: int) -> list[str]:
    """Refine on some pairs, and return the method's name; none where nothing was better."""
    no_better = output.with_suffix(".no-better")
    if not output.exists() and not no_better.exists():
        listed = output.with_suffix(".csv")
        _write(listed, rows)
        words = ["refine", str(listed), "--source", parsed.source, "--output", str(output), "--seed", str(seed)]
        done = subprocess.run([*_COMMAND, *words], check=False, stdout=subprocess.DEVNULL)
        if done.returncode == _NOTHING_BETTER:
            no_better.touch()
        elif done.returncode:
            sys.exit(done.returncode)
    return [f"lmidiffusion@{output}"] if output.exists() else []


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
