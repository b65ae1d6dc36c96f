"""Read thousands of damaged files of all formats, each in a fork, and print a table of outcomes.

python tools/fuzz_files.py [FILES] [--seed FIRST]

Ends with 1 if any file killed or stopped its reader, took too much memory, raised anything but a sentence for the user,
or was placed elsewhere than by another reader.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Library"))

from fuzzing import BAD, outcomes, table


def main() -> int:
    """Print the table, and return 1 if there is an outcome that no file may have."""
    parser = argparse.ArgumentParser(description="Read damaged files of all formats, and print a table of outcomes.")
    parser.add_argument("files", nargs="?", type=int, default=10_000, help="number of files")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parsed = parser.parse_args()
    results = []
    for result in outcomes(parsed.files, first_seed=parsed.seed):
        results.append(result)
        name, seed, outcome = result
        if outcome.kind in BAD:
            print(f"{name}, seed {seed}: {outcome.kind} {outcome.message[:300]}", flush=True)
    print(table(results))
    return int(any(outcome.kind in BAD for _, _, outcome in results))


if __name__ == "__main__":
    sys.exit(main())
