"""Set up a virtual environment with the versions that constraints.txt names, and with one build of PyTorch.

It runs before anything is installed: the standard library alone is imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of builds without CUDA."""
WITH_CUDA = (
    f"No NVIDIA device here, but {CPU_INDEX} cannot be reached: PyTorch comes from the package index, "
    "where Linux's build brings CUDA, a download of about 3 GB."
)
APT_LINE = "apt-get install python3 python3-venv"
LEAST_PYTHON = (3, 10)


def check_python() -> None:
    """Stop with one sentence where this Python cannot make the environment."""
    if sys.version_info < LEAST_PYTHON:
        sys.exit(
            f"Python 3.10 or newer is needed and {sys.executable} is {sys.version.split()[0]}; "
            f"name another with PYTHON=... (Debian and Ubuntu: {APT_LINE})."
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(f"{sys.executable} cannot make environments, as its venv is missing (Debian and Ubuntu: {APT_LINE}).")


def make_environment(folder: Path) -> Path:
    """Make the environment unless there is one that runs, and return its Python."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not _runs(python, "import pip"):
        venv.create(folder, clear=True, with_pip=True)
    return python


def install_torch(python: Path) -> None:
    """Install PyTorch unless it is there: the build without CUDA where Linux has no NVIDIA device."""
    if _runs(python, "import torch"):
        return
    command = ["--constraint", str(CONSTRAINTS), "torch"]
    if sys.platform == "linux" and not has_nvidia_device():
        if reaches(CPU_INDEX):
            command = ["--index-url", CPU_INDEX, "--no-deps", *command]
        else:
            print(WITH_CUDA, flush=True)
    _pip(python, *command)


def has_nvidia_device() -> bool:
    """Tell whether Linux has a driver of NVIDIA's, its own or that of Windows around it."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def reaches(address: str, *, seconds: float = 10) -> bool:
    """Tell whether a web address answers."""
    try:
        with urllib.request.urlopen(f"{address}/torch/", timeout=seconds) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def install_library(python: Path, extras: str) -> None:
    """Install the library from this checkout, so that edits count at once, with some of its extras."""
    locked = ["--constraint", str(CONSTRAINTS)]
    # Isolated builds would take what hatchling is at that moment.
    _pip(python, *locked, "hatchling", "editables")
    _pip(python, *locked, "--no-build-isolation", "--editable", f"{ROOT}[{extras}]" if extras else str(ROOT))


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    if subprocess.run(command).returncode:
        sys.exit("The packages could not be installed; pip says why above.")


def _runs(python: Path, code: str) -> bool:
    return python.exists() and subprocess.run([str(python), "-c", code], capture_output=True).returncode == 0


def main() -> None:
    """Set up the environment that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the environment")
    parser.add_argument("--extras", default="", help="of the library, such as train,test")
    arguments = parser.parse_args()
    check_python()
    python = make_environment(arguments.folder)
    install_torch(python)
    install_library(python, arguments.extras)


if __name__ == "__main__":
    main()
