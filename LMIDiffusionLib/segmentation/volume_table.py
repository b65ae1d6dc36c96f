"""Table of the volumes of classes or tissues: CSV with a row for each label of each scan."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from ..interface.events import ClassVolume

HEADING = ("scan", "label", "name", "milliliters")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def volume_table(scans: Iterable[tuple[str, Sequence[ClassVolume]]]) -> str:
    """Return the table of named scans and their volumes."""
    text = io.StringIO()
    rows = [
        (plain_cell(name), str(each.label), each.name, f"{each.milliliters:.3f}")
        for name, volumes in scans
        for each in volumes
    ]
    csv.writer(text, lineterminator="\n").writerows([HEADING, *rows])
    return text.getvalue()


def plain_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
