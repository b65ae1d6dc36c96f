"""Files of the module, and the Python and environment of processes beside Slicer."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import slicer

from .. import LIBRARY_FOLDER

MODULE_FOLDER = Path(__file__).resolve().parents[2]
SUBJECT_HIERARCHY_PLUGIN = str(MODULE_FOLDER / "LMIDiffusionSlicer" / "Panel" / "LMIDiffusionSubjectHierarchyPlugin.py")


def resourcePath(*parts: str) -> Path:
    return MODULE_FOLDER.joinpath("Resources", *parts)


def pythonCommand() -> str:
    """Return Slicer's Python; outside Slicer, the one that runs this."""
    return shutil.which("PythonSlicer") or sys.executable


def pythonEnvironment() -> dict[str, str]:
    """Return an environment in which Slicer's Python writes UTF-8 on every system and imports from no folder it is in.

    Pythons before 3.11 do import from there: start them in `LIBRARY_FOLDER`.
    """
    return {**slicer.util.startupEnvironment(), "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1"}


def workerEnvironment() -> dict[str, str]:
    """Return `pythonEnvironment` with the library in front of all else that can be imported."""
    environment = pythonEnvironment()
    paths = [str(LIBRARY_FOLDER), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment
