"""The panel's part that shows a result: volumes of the segments, opacities, 3D, arrangement of the slice views."""

from __future__ import annotations

from enum import Enum

import qt
import slicer
from slicer.i18n import tr as _

from .Results import SOURCE_ROLE, TABLE_ROLE
from .Views import Arrangement, SliceViews


class ViewMode(Enum):
    BLENDED = "blended"
    SIDE_BY_SIDE = "sideBySide"

    def label(self) -> str:
        return {ViewMode.BLENDED: _("Blended"), ViewMode.SIDE_BY_SIDE: _("Side by side")}[self]


class ResultSection:
    def __init__(self, ui):
        self._ui = ui
        self._parameterNode = None
        self._views = SliceViews()
        self._arrangement: Arrangement | None = None
        self._opacity: tuple[str, float] | None = None
        ui.volumesTable.setHorizontalHeaderLabels([_("Segment"), _("Volume [mL]")])
        ui.volumesTable.verticalHeader().setVisible(False)
        ui.volumesTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode
        # A scene that was loaded brings its own views along.
        self._arrangement = None if parameterNode is None else self._wantedArrangement()

    def showNew(self) -> None:
        """Show a result that has just come, whatever the views show."""
        self._arrangement = None
        self.update()

    def update(self) -> None:
        """Show what the parameter node says; views are left alone unless it asks for something new."""
        segmentation = self._parameterNode.resultSegmentation
        self._ui.resultCollapsibleButton.setEnabled(self._parameterNode.resultVolume is not None)
        self._ui.show3DButton.setSegmentationNode(segmentation)
        self._showTable(None if segmentation is None else segmentation.GetNodeReference(TABLE_ROLE))
        self._showOpacity(segmentation)
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

    def _showOpacity(self, segmentation: slicer.vtkMRMLSegmentationNode | None) -> None:
        display = None if segmentation is None else segmentation.GetDisplayNode()
        wanted = None if display is None else (display.GetID(), self._parameterNode.segmentationOpacity)
        if wanted is not None and wanted != self._opacity:
            display.SetOpacity(self._parameterNode.segmentationOpacity)
        self._opacity = wanted

    def _showTable(self, table: slicer.vtkMRMLTableNode | None) -> None:
        rows = 0 if table is None else table.GetNumberOfRows()
        self._ui.volumesTable.setRowCount(rows)
        for row in range(rows):
            name, volume = table.GetCellText(row, 0), float(table.GetCellText(row, 1))
            self._ui.volumesTable.setItem(row, 0, qt.QTableWidgetItem(name))
            self._ui.volumesTable.setItem(row, 1, qt.QTableWidgetItem(f"{volume:.1f}"))
