"""Table of the volumes of classes or tissues: CSV with a row for each label of each scan.

Each row of a scan has the mean expected error of its translation, where that was asked for.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from ..interface.events import ClassVolume

HEADING = ("scan", "label", "name", "milliliters", "expected_error")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def volume_table(scans: Iterable[tuple[str, Sequence[ClassVolume], float | None]]) -> str:
    """Return the table of named scans, their volumes, and the mean expected errors of their translations."""
    text = io.StringIO()
    rows = [
        (plain_cell(name), str(each.label), each.name, f"{each.milliliters:.3f}", _error_cell(error))
        for name, volumes, error in scans
        for each in volumes
    ]
    csv.writer(text, lineterminator="\n").writerows([HEADING, *rows])
    return text.getvalue()


def _error_cell(error: float | None) -> str:
    return "" if error is None else f"{error:.4f}"


def plain_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
