"""The panel's part that shows a result: volumes of the segments, opacities, 3D, arrangement of the slice views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..Base.Errors import TranslationError
from ..Base.Presets import SegmentStyle, ViewMode
from ..Scene.DicomSeries import exportSeries, isFromDicom
from ..Scene.Results import SOURCE_ROLE, TABLE_ROLE, TranslationResult, noticesOf
from ..Scene.Views import Arrangement, SliceViews
from .VolumesTable import VolumesTable


class ResultSection:
    """
    :param isShown: tells whether the user has the module open. Views are left alone while another one is.
    :param showMessage: shows the user a sentence.
    """

    def __init__(self, ui, *, isShown: Callable[[], bool], showMessage: Callable[[str], None]):
        self._ui = ui
        self._isShown, self._showMessage = isShown, showMessage
        self._parameterNode = None
        self._table = VolumesTable(ui)
        self._views = SliceViews()
        self._arrangement: Arrangement | None = None
        self._style: tuple[str, float, SegmentStyle] | None = None
        self._waiting: slicer.vtkMRMLSegmentationNode | None = None
        ui.statisticsButton.connect("clicked()", self._onStatistics)
        ui.editSegmentsButton.connect("clicked()", self._onEditSegments)
        ui.exportDicomButton.connect("clicked()", self._onExportDicom)

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode
        self._waiting = None
        # A scene that was loaded brings its own views along.
        self._arrangement = None if parameterNode is None else self._wantedArrangement()

    def showNew(self, result: TranslationResult) -> None:
        """Show a result that has just come, now or when the user comes back to the module."""
        node = self._parameterNode
        before = node.resultSegmentation
        if before is not None and before is not result.segmentation and before.GetDisplayNode() is not None:
            before.GetDisplayNode().SetVisibility(False)  # its outlines would lie over the new ones
        result.segmentation.GetDisplayNode().SetVisibility(self._isShown())
        self._waiting = None if self._isShown() else result.segmentation
        self._arrangement = None
        self._ui.resultCollapsibleButton.collapsed = False
        node.resultVolume, node.resultSegmentation = result.volume, result.segmentation
        self.update()

    def stop(self) -> None:
        pass

    def update(self) -> None:
        """Show the result that the parameter node holds; views are left alone unless it asks for something new."""
        segmentation = self._parameterNode.resultSegmentation
        self._ui.resultCollapsibleButton.setEnabled(self._parameterNode.resultVolume is not None)
        self._ui.show3DButton.setSegmentationNode(segmentation)
        for button in (self._ui.statisticsButton, self._ui.editSegmentsButton):
            button.setEnabled(segmentation is not None)
        self._ui.exportDicomButton.setEnabled(isFromDicom(self._parameterNode.resultVolume))
        self._table.show(None if segmentation is None else segmentation.GetNodeReference(TABLE_ROLE))
        self._showNotices()
        self._showStyle(segmentation)
        self._ui.translationOpacitySlider.setEnabled(self._parameterNode.viewMode == ViewMode.BLENDED)
        if self._isShown():
            self._showInViews()

    def _showInViews(self) -> None:
        if self._waiting is not None and self._waiting.GetDisplayNode() is not None:
            self._waiting.GetDisplayNode().SetVisibility(True)
        self._waiting = None
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

    def _showNotices(self) -> None:
        translation = self._parameterNode.resultVolume
        notices = "" if translation is None else noticesOf(translation)
        self._ui.noticesLabel.setVisible(bool(notices))
        self._ui.noticesLabel.text = _("Look at the source: {notices}").format(notices=notices) if notices else ""

    def _showStyle(self, segmentation: slicer.vtkMRMLSegmentationNode | None) -> None:
        node, display = self._parameterNode, None if segmentation is None else segmentation.GetDisplayNode()
        wanted = None if display is None else (display.GetID(), node.segmentationOpacity, node.segmentStyle)
        if wanted is not None and wanted != self._style:
            display.SetOpacity(node.segmentationOpacity)
            display.SetVisibility2DFill(node.segmentStyle is SegmentStyle.FILLED)
        self._style = wanted

    def _onStatistics(self) -> None:
        slicer.util.selectModule("SegmentStatistics")
        statistics = slicer.modules.segmentstatistics.widgetRepresentation().self()
        statistics.segmentationSelector.setCurrentNode(self._parameterNode.resultSegmentation)
        statistics.scalarSelector.setCurrentNode(self._parameterNode.resultVolume)

    def _onEditSegments(self) -> None:
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().parameterSetNode
        editor.SetAndObserveSegmentationNode(self._parameterNode.resultSegmentation)
        editor.SetAndObserveSourceVolumeNode(self._parameterNode.resultVolume)

    def _onExportDicom(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self._ui.exportDicomButton, _("Folder for the DICOM series"), "")
        if not folder:
            return
        try:
            made = exportSeries(self._parameterNode.resultVolume, Path(folder))
        except TranslationError as error:
            slicer.util.errorDisplay(str(error))
        else:
            self._showMessage(_("The DICOM series is in {folder}.").format(folder=made))
