"""Requirements of the tests beside Python's packages, and how to get them.

It must be able to say so where anything is missing: the standard library alone is imported.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DRAWING_LIBRARIES = (
    "libEGL.so.1",
    "libEGL_mesa.so.0",
    "libGL.so.1",
    "libxkbcommon.so.0",
    "libfontconfig.so.1",
    "libglib-2.0.so.0",
    "libdbus-1.so.3",
)
"""Libraries that Qt and VTK load to draw without a screen; CONTRIBUTING names their packages."""


def apt_line(package: str) -> str:
    """Return the command among the README's and CONTRIBUTING's that installs a package of Debian's."""
    texts = (ROOT / "README.md").read_text(encoding="utf-8") + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return next(line for line in re.findall(r"apt-get install[^`\n)]*", texts) if package in line.split())


def of_slicer() -> str:
    """Name what Slicer's libraries lack here and how to get it; empty where nothing is missing."""
    if importlib.util.find_spec("slicer") is None or importlib.util.find_spec("PySide6") is None:
        return "Slicer's libraries; pip install '.[slicer]', where there are wheels for this Python and system"
    absent = [name for name in DRAWING_LIBRARIES if not _loads(name)]
    return f"{', '.join(absent)}; {apt_line('libegl1')}" if absent else ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
