"""Table of the volumes of classes or tissues: CSV with a row for each label of each scan.

Where it was asked for, each row of a scan has the mean expected error of its translation in a further column.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from ..interface.events import ClassVolume

HEADING = ("scan", "label", "name", "milliliters")
_ERROR = "expected_error"
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def volume_table(scans: Iterable[tuple[str, Sequence[ClassVolume], float | None]]) -> str:
    """Return the table of named scans, their volumes, and the mean expected errors of their translations."""
    listed = [*scans]
    has_errors = any(error is not None for _, _, error in listed)
    text = io.StringIO()
    rows = [
        (plain_cell(name), str(each.label), each.name, f"{each.milliliters:.3f}", _error_cell(error))
        for name, volumes, error in listed
        for each in volumes
    ]
    width = len(HEADING) + has_errors
    csv.writer(text, lineterminator="\n").writerows(row[:width] for row in [(*HEADING, _ERROR), *rows])
    return text.getvalue()


def _error_cell(error: float | None) -> str:
    return "" if error is None else f"{error:.4f}"


def plain_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
