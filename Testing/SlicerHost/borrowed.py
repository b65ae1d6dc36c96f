"""Slicer's own Python files in place of the stand-ins, where the environment variable SLICER_PYTHON names their folder.

That is `Base/Python/slicer` in Slicer's sources: `ScriptedLoadableModule.py`, `i18n.py`, `packaging.py` and the package
`parameterNodeWrapper`.
"""

import importlib
import os
from types import ModuleType

import ctk
import qt
import slicer

VARIABLE = "SLICER_PYTHON"
# Widgets that these files name when they are loaded, to compare types with.
_NAMED = {
    ctk: (
        *("ctkCheckBox", "ctkCheckablePushButton", "ctkColorPickerButton", "ctkDirectoryButton"),
        *("ctkDoubleRangeSlider", "ctkDoubleSlider", "ctkDoubleSpinBox", "ctkRangeWidget"),
    ),
    slicer: ("qMRMLCheckableNodeComboBox", "qMRMLRangeWidget", "qMRMLSliderWidget", "qMRMLSpinBox", "qSlicerWidget"),
}


def isWanted() -> bool:
    return bool(os.environ.get(VARIABLE))


def load(name: str) -> ModuleType:
    """`slicer.NAME` as Slicer has it."""
    folder = os.environ[VARIABLE]
    if folder not in slicer.__path__:
        slicer.__path__.append(folder)  # behind the installed package, whose files it must not hide
        _namePlaceholders()
    return importlib.import_module(f"slicer.{name}")


def _namePlaceholders() -> None:
    for owner, names in _NAMED.items():
        for name in names:
            if not hasattr(owner, name):
                setattr(owner, name, type(name, (qt.QWidget,), {}))
