"""The panel's result: the views while the module is shown and not, the table's ways out, 3D, the Segment Editor."""

from pathlib import Path
from typing import Any

import conftest
import host
import pytest
import slicer
from conftest import PATIENCE, add_head, running
from quick_process import quick_runs


@pytest.fixture(autouse=True)
def chosen(module: Any, widget: Any, checkpoint: Path, head: Any) -> Any:
    """The parameter node, ready to translate; runs end at once."""
    with quick_runs(widget.logic):
        node = conftest.choose_fastest(widget, checkpoint)
        node.viewMode, node.swapped = conftest.package("Base.Presets").ViewMode.BLENDED, False
        node.sourceVolume = head
        yield node
    module.widgetRepresentation().enter()


def _translate(ui: Any) -> None:
    ui.translateButton.click()
    host.waitUntil(lambda: not running(), PATIENCE)


def _composite(name: str) -> Any:
    return slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceCompositeNode{name}")


def _slice(name: str) -> Any:
    return slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}")


def test_a_run_that_ends_under_another_module_leaves_the_views_until_the_user_comes_back(
    module: Any, ui: Any, chosen: Any
) -> None:
    other = add_head("other")
    ui.translateButton.click()
    module.widgetRepresentation().exit()
    slicer.util.setSliceViewerLayers(background=other, foreground=None)
    host.waitUntil(lambda: not running(), PATIENCE)
    assert chosen.resultVolume is not None
    assert _composite("Red").GetBackgroundVolumeID() == other.GetID()
    assert _composite("Red").GetForegroundVolumeID() is None
    assert not chosen.resultSegmentation.GetDisplayNode().GetVisibility()
    module.widgetRepresentation().enter()
    assert _composite("Red").GetForegroundVolumeID() == chosen.resultVolume.GetID()
    assert chosen.resultSegmentation.GetDisplayNode().GetVisibility()


def test_side_by_side_gives_back_layout_zoom_plane_and_links(ui: Any, head: Any, chosen: Any) -> None:
    _translate(ui)
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is None:
        layout = slicer.mrmlScene.AddNode(slicer.vtkMRMLLayoutNode())
    layout.SetViewArrangement(layout.SlicerLayoutFourUpView)
    _slice("Red").SetFieldOfView(100, 100, 1)
    _slice("Yellow").SetFieldOfView(250, 250, 1)
    _slice("Yellow").SetOrientation("Sagittal")
    for name in ("Red", "Yellow"):
        _composite(name).SetLinkedControl(0)
    ui.viewModeComboBox.currentText = "Side by side"
    assert layout.GetViewArrangement() == layout.SlicerLayoutSideBySideView
    assert _slice("Yellow").GetFieldOfView()[0] == 100
    assert _slice("Yellow").GetOrientation() == _slice("Red").GetOrientation()
    assert [_composite(name).GetLinkedControl() for name in ("Red", "Yellow")] == [1, 1]
    ui.viewModeComboBox.currentText = "Blended"
    assert layout.GetViewArrangement() == layout.SlicerLayoutFourUpView
    assert _slice("Yellow").GetFieldOfView()[0] == 250
    assert _slice("Yellow").GetOrientation() == "Sagittal"
    assert [_composite(name).GetLinkedControl() for name in ("Red", "Yellow")] == [0, 0]


def test_swapped_volumes_keep_the_opacity_of_the_upper_one(ui: Any, chosen: Any) -> None:
    _translate(ui)
    ui.translationOpacitySlider.value = 0.4
    ui.swapButton.click()
    assert _composite("Red").GetForegroundOpacity() == pytest.approx(0.4)
    ui.swapButton.click()


def test_views_are_fitted_to_a_volume_that_none_of_them_shows_yet_and_not_again(
    module: Any, ui: Any, head: Any, chosen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[bool] = []
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **options: fits.append(options["fit"]))
    _translate(ui)
    assert fits == [True]
    for name in ("Red", "Yellow"):
        _composite(name).SetBackgroundVolumeID(head.GetID())
    _translate(ui)
    assert fits == [True, False]


def test_show_3d_makes_surfaces_of_the_result(ui: Any, chosen: Any) -> None:
    _translate(ui)
    assert ui.show3DButton.segmentationNode() is chosen.resultSegmentation
    ui.show3DButton.click()
    assert chosen.resultSegmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    ui.show3DButton.click()
    assert not chosen.resultSegmentation.GetSegmentation().ContainsRepresentation("Closed surface")


def test_the_table_is_copied_and_saved_with_all_its_digits(ui: Any, chosen: Any, tmp_path: Path) -> None:
    _translate(ui)
    table = slicer.util.getNode("head as T1w volumes")
    rows = [[table.GetCellText(row, column) for column in range(2)] for row in range(table.GetNumberOfRows())]
    ui.copyTableButton.click()
    copied = [line.split("\t") for line in slicer.app.clipboard().text().splitlines()]
    assert copied == [["Segment", "Volume [mL]"], *rows]
    asked: list[Any] = []
    host.answerNext(lambda *arguments: asked.append(arguments) or str(tmp_path / "volumes.csv"))
    ui.saveTableButton.click()
    assert "head as T1w volumes.csv" in asked[0]
    saved = (tmp_path / "volumes.csv").read_text(encoding="utf-8")
    assert [line.split(",") for line in saved.splitlines()] == copied


def test_a_table_that_cannot_be_saved_is_reported_and_a_cancelled_dialog_is_not(
    ui: Any, chosen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **options: shown.append(text))
    _translate(ui)
    for path in ("", str(tmp_path / "nowhere" / "volumes.csv")):
        host.answerNext(path)
        ui.saveTableButton.click()
    assert len(shown) == 1
    assert "cannot be written" in shown[0]


def test_without_a_result_there_is_nothing_to_copy_or_edit(ui: Any, chosen: Any) -> None:
    chosen.resultVolume = chosen.resultSegmentation = None
    for button in (ui.copyTableButton, ui.saveTableButton, ui.statisticsButton, ui.editSegmentsButton):
        assert not button.enabled
    assert not ui.resultCollapsibleButton.enabled
    assert ui.volumesTable.rowCount == 0


def test_all_rows_of_the_table_are_seen_without_scrolling(widget: Any, ui: Any, chosen: Any) -> None:
    _translate(ui)
    table = ui.volumesTable
    rows = sum(table.rowHeight(row) for row in range(table.rowCount))
    assert table.height >= rows + table.horizontalHeader().sizeHint().height()
    assert table.height <= rows + 60


def test_the_result_opens_in_the_segment_editor(module: Any, ui: Any, chosen: Any) -> None:
    _translate(ui)
    ui.editSegmentsButton.click()
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().parameterSetNode
    assert editor.GetSegmentationNode() is chosen.resultSegmentation
    assert editor.GetSourceVolumeNode() is chosen.resultVolume
    assert not module.widgetRepresentation().isEntered


def test_the_result_opens_in_segment_statistics(module: Any, ui: Any, chosen: Any) -> None:
    add_head("other")
    _translate(ui)
    ui.statisticsButton.click()
    statistics = slicer.modules.segmentstatistics.widgetRepresentation().self()
    assert statistics.segmentationSelector.currentNode() is chosen.resultSegmentation
    assert statistics.scalarSelector.currentNode() is chosen.resultVolume
    assert not module.widgetRepresentation().isEntered


def test_the_context_menu_of_a_volume_opens_the_panel_with_it(module: Any, ui: Any, chosen: Any) -> None:
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    menu = slicer.qSlicerSubjectHierarchyPluginHandler.instance().contextMenu
    other = add_head("other")
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert "Translate with LMIDiffusion..." not in menu(hierarchy.GetItemByDataNode(labels))
    slicer.util.selectModule("SegmentEditor")
    menu(hierarchy.GetItemByDataNode(other))["Translate with LMIDiffusion..."].trigger()
    assert module.widgetRepresentation().isEntered
    assert chosen.sourceVolume is other
    assert ui.sourceVolumeSelector.currentNode() is other
