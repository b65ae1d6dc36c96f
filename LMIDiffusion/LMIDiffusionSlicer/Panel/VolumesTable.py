"""The panel's table of volumes, and its ways out: clipboard and file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

# More rows than this are scrolled.
_MOST_ROWS = 8


class VolumesTable:
    def __init__(self, ui):
        self._ui = ui
        self._table: slicer.vtkMRMLTableNode | None = None
        ui.volumesTable.verticalHeader().setVisible(False)
        ui.volumesTable.horizontalHeader().setStretchLastSection(True)
        ui.copyTableButton.connect("clicked()", self._onCopy)
        ui.saveTableButton.connect("clicked()", self._onSave)

    def show(self, table: slicer.vtkMRMLTableNode | None) -> None:
        self._table = table
        widget = self._ui.volumesTable
        rows = _rowsOf(table)
        widget.setRowCount(len(rows) - 1)
        widget.setColumnCount(len(rows[0]))
        widget.setHorizontalHeaderLabels(rows[0])
        isNarrow = widget.columnCount <= 2
        widget.horizontalHeader().setSectionResizeMode(
            qt.QHeaderView.Stretch if isNarrow else qt.QHeaderView.ResizeToContents
        )
        for row, texts in enumerate(rows[1:]):
            for column, text in enumerate(texts):
                widget.setItem(row, column, _item(_shortened(text), isNumber=column > 0))
        self._fitHeight()
        for button in (self._ui.copyTableButton, self._ui.saveTableButton):
            button.setEnabled(table is not None)

    def _fitHeight(self) -> None:
        """Make the table as high as its rows: a panel full of scroll bars is hard to read."""
        widget = self._ui.volumesTable
        rows = max(1, min(widget.rowCount, _MOST_ROWS)) * widget.verticalHeader().defaultSectionSize
        widget.setFixedHeight(widget.horizontalHeader().height + rows + 2 * widget.frameWidth)

    def _onCopy(self) -> None:
        slicer.app.clipboard().setText(_separated(_rowsOf(self._table), "\t"))

    def _onSave(self) -> None:
        title, name = _("Save volumes"), f"{self._table.GetName()}.csv"
        path = qt.QFileDialog.getSaveFileName(
            self._ui.saveTableButton, title, name, _("Comma-separated values (*.csv)")
        )
        if not path:
            return
        try:
            Path(path).write_text(_separated(_rowsOf(self._table), ","), encoding="utf-8", newline="")
        except OSError as error:
            slicer.util.errorDisplay(_("{file} cannot be written ({reason}).").format(file=path, reason=error.strerror))


def _rowsOf(table: slicer.vtkMRMLTableNode | None) -> list[list[str]]:
    """Return the header and the rows of a table as text."""
    if table is None:
        return [[_("Segment"), _("Volume [mL]")]]
    columns = range(table.GetNumberOfColumns())
    header = [table.GetColumnName(column) for column in columns]
    rows = [[table.GetCellText(row, column) for column in columns] for row in range(table.GetNumberOfRows())]
    return [header, *rows]


def _separated(rows: list[list[str]], separator: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _item(text: str, *, isNumber: bool):
    item = qt.QTableWidgetItem(text)
    if isNumber:
        item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    return item


def _shortened(text: str) -> str:
    """Give numbers one decimal."""
    try:
        return f"{float(text):.1f}"
    except ValueError:
        return text
