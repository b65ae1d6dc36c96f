"""The folder of a run in Slicer's temporary folder, and the files in it."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from .Errors import TranslationError

_REMOVALS, _SECONDS_BETWEEN_REMOVALS = 20, 0.1


def makeFolder() -> Path:
    """Make a new folder.

    :raises TranslationError: it cannot be made.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="LMIDiffusion-", dir=slicer.app.temporaryPath))
    except OSError as error:
        raise TranslationError(
            _("The temporary folder {folder} cannot be written to; choose another in the application settings.").format(
                folder=slicer.app.temporaryPath
            )
        ) from error


def removeFolder(folder: Path) -> None:
    """Remove the folder, trying again while a dying process on Windows has files in it open."""
    for _attempt in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_SECONDS_BETWEEN_REMOVALS)


def inputFile(folder: Path) -> Path:
    return folder / "source.nii"


def maskFile(folder: Path) -> Path:
    return folder / "mask.nii"


def translatedFile(folder: Path) -> Path:
    return folder / "volume.nii"


def segmentationFile(folder: Path) -> Path:
    return folder / "segmentation.nii"


def uncertaintyFile(folder: Path) -> Path:
    return folder / "uncertainty.nii"


def drawFile(folder: Path) -> Path:
    """Return the file of a draw; the library asks for the word sample in the name of a file that is no mean."""
    return folder / "sample.nii"
