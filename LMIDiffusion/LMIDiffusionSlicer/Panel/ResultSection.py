"""The panel's part that shows a result: volumes of the segments, opacities, 3D, arrangement of the slice views."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from ..Base.Presets import SegmentStyle, ViewMode
from ..Scene.Results import SOURCE_ROLE, TABLE_ROLE, doubtsAbout
from ..Scene.Views import Arrangement, SliceViews


class ResultSection:
    def __init__(self, ui):
        self._ui = ui
        self._parameterNode = None
        self._views = SliceViews()
        self._arrangement: Arrangement | None = None
        self._style: tuple[str, float, SegmentStyle] | None = None
        ui.volumesTable.verticalHeader().setVisible(False)

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode
        # A scene that was loaded brings its own views along.
        self._arrangement = None if parameterNode is None else self._wantedArrangement()

    def showNew(self) -> None:
        """Show a result that has just come, whatever the views show."""
        self._arrangement = None
        self._ui.resultCollapsibleButton.collapsed = False
        self.update()

    def update(self) -> None:
        """Show what the parameter node says; views are left alone unless it asks for something new."""
        segmentation = self._parameterNode.resultSegmentation
        self._ui.resultCollapsibleButton.setEnabled(self._parameterNode.resultVolume is not None)
        self._ui.show3DButton.setSegmentationNode(segmentation)
        self._showTable(None if segmentation is None else segmentation.GetNodeReference(TABLE_ROLE))
        self._showDoubts()
        self._showStyle(segmentation)
        self._ui.translationOpacitySlider.setEnabled(self._parameterNode.viewMode == ViewMode.BLENDED)
        wanted = self._wantedArrangement()
        if wanted is not None and wanted != self._arrangement:
            self._views.show(wanted)
        self._arrangement = wanted

    def _wantedArrangement(self) -> Arrangement | None:
        node = self._parameterNode
        translation = node.resultVolume
        source = None if translation is None else translation.GetNodeReference(SOURCE_ROLE)
        if source is None:
            return None
        arrangement = Arrangement(
            source.GetID(),
            translation.GetID(),
            node.translationOpacity,
            sideBySide=node.viewMode == ViewMode.SIDE_BY_SIDE,
        )
        return arrangement.swapped() if node.swapped else arrangement

    def _showDoubts(self) -> None:
        translation = self._parameterNode.resultVolume
        doubts = "" if translation is None else doubtsAbout(translation)
        self._ui.doubtsLabel.setVisible(bool(doubts))
        self._ui.doubtsLabel.text = _("Look at the source: {doubts}").format(doubts=doubts) if doubts else ""

    def _showStyle(self, segmentation: slicer.vtkMRMLSegmentationNode | None) -> None:
        node, display = self._parameterNode, None if segmentation is None else segmentation.GetDisplayNode()
        wanted = None if display is None else (display.GetID(), node.segmentationOpacity, node.segmentStyle)
        if wanted is not None and wanted != self._style:
            display.SetOpacity(node.segmentationOpacity)
            display.SetVisibility2DFill(node.segmentStyle is SegmentStyle.FILLED)
        self._style = wanted

    def _showTable(self, table: slicer.vtkMRMLTableNode | None) -> None:
        widget = self._ui.volumesTable
        widget.setRowCount(0 if table is None else table.GetNumberOfRows())
        widget.setColumnCount(2 if table is None else table.GetNumberOfColumns())
        if table is None:
            widget.setHorizontalHeaderLabels([_("Segment"), _("Volume [mL]")])
            return
        isNarrow = widget.columnCount <= 2
        widget.horizontalHeader().setSectionResizeMode(
            qt.QHeaderView.Stretch if isNarrow else qt.QHeaderView.ResizeToContents
        )
        widget.setHorizontalHeaderLabels([table.GetColumnName(column) for column in range(widget.columnCount)])
        for row in range(widget.rowCount):
            for column in range(widget.columnCount):
                widget.setItem(row, column, qt.QTableWidgetItem(_shortened(table.GetCellText(row, column))))


def _shortened(text: str) -> str:
    """Numbers with one decimal."""
    try:
        return f"{float(text):.1f}"
    except ValueError:
        return text
