"""Run the library's tests on the lowest versions that pyproject.toml allows, or on the newest that there are.

Each has an environment of its own beside .venv, which is brought up to date on every call. uv chooses the versions.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import set_up

ROOT = set_up.ROOT
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}


def install(folder: Path, resolution: str) -> Path:
    """Install the library with its tests' packages, and return the environment's Python."""
    python = set_up.make_environment(folder)
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    if uv is None:
        sys.exit("uv is missing; run: make lock")
    # Without the project's configuration, which holds versions for constraints.txt.
    command = [uv, "pip", "install", "--no-config", "--quiet", "--python", str(python), "--upgrade"]
    if sys.platform == "linux" and not set_up.has_nvidia_device():
        if set_up.reaches(set_up.CPU_INDEX):
            command += ["--torch-backend", "cpu"]
        else:
            print(set_up.WITH_CUDA, flush=True)
    command += ["--resolution", resolution, "--editable", f"{ROOT}[test]"]
    if subprocess.run(command).returncode:
        sys.exit("The packages could not be installed; uv says why above.")
    return python


def main() -> None:
    """Make the environment that the command line names, and run the tests in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("end", choices=RESOLUTIONS, help="of the range of versions")
    end = parser.parse_args().end
    python = install(ROOT / f".venv-{end}", RESOLUTIONS[end])
    subprocess.run([python, "-m", "pip", "list"], check=True)
    tests = [str(python), str(ROOT / "tools" / "run_tests.py"), "Testing/Library"]
    sys.exit(subprocess.run(tests, cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
