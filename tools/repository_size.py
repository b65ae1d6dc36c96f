"""Print how large a clone of this repository is, as the Extensions Index counts, and fail when that is too much."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import missing

LIMIT, INDEX_LIMIT = 97.0, 100.0
"""In MiB: where this fails, so that there is time to act, and where the Index refuses."""


def size_of_clone(repository: Path) -> float:
    """Return the size in MiB of all files of a clone of the branch that is checked out, those in .git among them."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["git", "clone", "--quiet", "--single-branch", repository.as_uri(), folder]
        subprocess.run(command, check=True, capture_output=True)
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 2**20


def main() -> None:
    """Measure the checkout that this file is in."""
    size = size_of_clone(missing.ROOT)
    print(f"A clone has {size:.1f} MiB of the {INDEX_LIMIT:.0f} that the Extensions Index allows.")
    if size > LIMIT:
        sys.exit(f"That is more than {LIMIT:.0f}: see 'History' in CONTRIBUTING.md.")


if __name__ == "__main__":
    main()
