"""Where the library LMIDiffusionLib is: beside the module when installed, one folder up in a source checkout."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from .Errors import TranslationError

MODULE_FOLDER = Path(__file__).resolve().parent.parent


def resourcePath(*parts: str) -> Path:
    return MODULE_FOLDER.joinpath("Resources", *parts)


def libraryFolder() -> Path:
    """Folder from which `import LMIDiffusionLib` works."""
    for folder in (MODULE_FOLDER, MODULE_FOLDER.parent):
        if (folder / "LMIDiffusionLib" / "__init__.py").is_file():
            return folder
    raise TranslationError(_("The library LMIDiffusionLib is missing; install the LMIDiffusion extension again."))


def makeLibraryImportable() -> None:
    """Only light modules of it may be imported into Slicer: nothing that needs PyTorch."""
    folder = str(libraryFolder())
    if folder not in sys.path:
        sys.path.append(folder)


def pythonCommand() -> str:
    """Slicer's Python; outside Slicer, the one that runs this."""
    return shutil.which("PythonSlicer") or sys.executable


def workerEnvironment() -> dict[str, str]:
    """Environment in which Slicer's Python finds the library and speaks UTF-8 on every system."""
    environment = dict(slicer.util.startupEnvironment())
    paths = [str(libraryFolder()), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    environment["PYTHONUTF8"] = "1"
    return environment
