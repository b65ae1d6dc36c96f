"""Run the module's tests on the oldest and the newest slicer-core that are published.

With SLICER_PYTHON=folder, as Testing/SlicerHost/README.md says, they run once more on the newest, with Slicer's own
Python files. Each version lies in a folder of its own, .slicer-VERSION, which goes before the environment's.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import run_tests

ROOT = run_tests.ROOT
PACKAGE = "slicer-core"
OWN_FILES = "SLICER_PYTHON"
TESTS = [path for path in run_tests.all_paths() if path.name != "Library"]


def ends() -> list[str]:
    """Ask the package index for the oldest and the newest version."""
    listing = _pip("index", "versions", PACKAGE, stdout=subprocess.PIPE, text=True).stdout
    (versions,) = re.findall(r"^Available versions: (.+)$", listing, re.MULTILINE)
    newest, *_, oldest = versions.split(", ")
    return [oldest, newest]


def install(version: str) -> Path:
    """Install a version beside the environment, with the VTK that it was built with; everything else stays."""
    folder = ROOT / f".slicer-{version}"
    if not folder.is_dir():
        _install(f"{PACKAGE}=={version}", folder)
        (package,) = importlib.metadata.distributions(name=PACKAGE, path=[str(folder)])
        _install(next(each for each in package.requires or () if each.startswith("vtk")), folder)
    return folder


def _install(requirement: str, folder: Path) -> None:
    _pip("install", "--quiet", "--no-deps", "--target", str(folder), requirement)


def _pip(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, **options)
    if done.returncode:
        sys.exit("The packages could not be had; pip says why above.")
    return done


def test(folder: Path, checkpoint: Path, paths: list[Path], *, own_files: str) -> bool:
    """Run tests on a version, and tell whether they pass."""
    environment = {**os.environ, "LMIDIFFUSION_TEST_CHECKPOINT": str(checkpoint), OWN_FILES: own_files}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(ROOT / "tools" / "run_tests.py"), *map(str, paths)]
    files = f", with Slicer's own Python files of {own_files}" if own_files else ""
    print(f"{PACKAGE} {folder.name.removeprefix('.slicer-')}{files}", flush=True)
    return subprocess.run(command, cwd=ROOT, env=environment).returncode == 0


def main() -> None:
    """Run the tests that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="*", default=TESTS, help="files of tests; all if none is given")
    paths = parser.parse_args().paths
    oldest, newest = map(install, ends())
    runs = [(oldest, ""), (newest, "")]
    if own := os.environ.get(OWN_FILES, ""):
        runs.append((newest, own))
    with tempfile.TemporaryDirectory() as name:
        checkpoint = Path(name) / "tiny.safetensors"
        subprocess.run([sys.executable, str(ROOT / "Testing/Module/make_checkpoint.py"), str(checkpoint)], check=True)
        results = [test(folder, checkpoint, paths, own_files=own) for folder, own in runs]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
