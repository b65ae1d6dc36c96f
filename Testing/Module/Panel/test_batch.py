"""Translating several volumes: which are offered, and what each of them is translated with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import conftest
import host
import numpy as np
import pytest
import qt
import slicer
from conftest import PATIENCE, add_head, package, running
from quick_process import quick_runs


@pytest.fixture(autouse=True)
def chosen(widget: Any, checkpoint: Path, head: Any) -> Any:
    """The parameter node, ready to translate; runs end at once."""
    with quick_runs(widget.logic):
        node = conftest.choose_fastest(widget, checkpoint)
        node.sourceVolume = head
        yield node


@pytest.fixture
def choose(ui: Any) -> Callable[..., list[str]]:
    """Opens the dialog, selects all, and clicks a button; returns the texts of the volumes offered."""

    def run(button: int = qt.QDialogButtonBox.Ok) -> list[str]:
        offered: list[str] = []

        def answer(dialog: Any) -> None:
            volumes = dialog.findChild(qt.QListWidget)
            offered.extend(volumes.item(row).text() for row in range(volumes.count))
            dialog.findChild(qt.QCheckBox).click()
            dialog.findChild(qt.QDialogButtonBox).button(button).click()

        host.answerNext(answer)
        ui.severalButton.click()
        host.waitUntil(lambda: not running(), PATIENCE)
        return offered

    return run


def _names(segmentation: Any) -> list[str]:
    parts = segmentation.GetSegmentation()
    return [parts.GetNthSegment(index).GetName() for index in range(parts.GetNumberOfSegments())]


def test_the_brain_mask_serves_the_panels_source_alone(ui: Any, head: Any, chosen: Any, choose: Any) -> None:
    add_head("other")
    array = (slicer.util.arrayFromVolume(head) > 500).astype(np.uint8)
    ijk_to_ras = package("Scene.Geometry").ijkToRas(head)
    chosen.brainMask = slicer.util.addVolumeFromArray(array, ijk_to_ras, "brain", "vtkMRMLLabelMapVolumeNode")
    choose()
    assert ui.statusLabel.text == "2 of 2 volumes done."
    assert "CSF" in _names(slicer.util.getNode("head as T1w segmentation"))
    assert "Class 2" in _names(slicer.util.getNode("other as T1w segmentation"))


def test_translations_label_maps_and_hidden_volumes_are_not_offered(ui: Any, chosen: Any, choose: Any) -> None:
    choose()
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    add_head("hidden").SetHideFromEditors(True)
    assert choose() == ["head"]


def test_cancelling_the_dialog_translates_nothing(ui: Any, chosen: Any, choose: Any) -> None:
    before = conftest.node_ids()
    choose(qt.QDialogButtonBox.Cancel)
    assert conftest.node_ids() == before


def test_select_all_leaves_out_what_cannot_be_translated_and_can_be_taken_back(ui: Any, chosen: Any) -> None:
    slicer.util.addVolumeFromArray(np.ones((20, 40, 40), np.float32), None, "flat")
    states: list[list[bool]] = []

    def answer(dialog: Any) -> None:
        volumes = dialog.findChild(qt.QListWidget)
        for _ in range(2):
            dialog.findChild(qt.QCheckBox).click()
            states.append([volumes.item(row).checkState() == qt.Qt.Checked for row in range(volumes.count)])
        dialog.findChild(qt.QDialogButtonBox).button(qt.QDialogButtonBox.Cancel).click()

    host.answerNext(answer)
    ui.severalButton.click()
    assert states == [[True, False], [False, False]]


def test_outputs_of_the_panel_are_not_used_for_several(ui: Any, chosen: Any, choose: Any) -> None:
    ui.outputVolumeSelector.addNode()
    mine = chosen.outputVolume
    add_head("other")
    choose()
    assert mine.GetImageData() is None
    assert {"head as T1w", "other as T1w"} <= {
        node.GetName() for node in slicer.util.getNodesByClass(mine.GetClassName())
    }
