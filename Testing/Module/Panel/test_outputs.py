"""Outputs of the panel: they follow the source, keep to what the user has chosen, and replace what is their own."""

from pathlib import Path
from typing import Any

import conftest
import host
import numpy as np
import pytest
import slicer
from conftest import PATIENCE, add_head, node_ids, running
from make_sequence import add_sequence
from quick_process import quick_runs


@pytest.fixture(autouse=True)
def chosen(widget: Any, checkpoint: Path, head: Any) -> Any:
    """The parameter node, ready to translate; runs end at once."""
    with quick_runs(widget.logic):
        node = conftest.choose_fastest(widget, checkpoint)
        node.uncertaintyVolume = node.drawVolume = None
        node.sourceVolume = head
        yield node


def _translate(ui: Any) -> None:
    ui.translateButton.click()
    host.waitUntil(lambda: not running(), PATIENCE)
    assert "one in" in ui.statusLabel.text, ui.statusLabel.text


def _outputs(node: Any) -> list[Any]:
    return [node.outputVolume, node.outputSegmentation, node.uncertaintyVolume, node.drawVolume]


def test_another_source_gets_outputs_of_its_own(ui: Any, head: Any, chosen: Any) -> None:
    chosen.uncertainty = chosen.draw = True
    _translate(ui)
    first = _outputs(chosen)
    before = slicer.util.arrayFromVolume(first[0]).copy()
    other = add_head("other", landmark=(20, 24, 10))
    ui.sourceVolumeSelector.setCurrentNode(other)
    assert _outputs(chosen) == [None] * 4
    _translate(ui)
    endings = ("", " segmentation", " uncertainty", " one sample")
    assert [node.GetName() for node in _outputs(chosen)] == [f"other as T1w{each}" for each in endings]
    assert set(_outputs(chosen)).isdisjoint(first)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(first[0]), before)


def test_a_source_chosen_during_a_run_does_not_get_the_outputs_of_the_run(ui: Any, chosen: Any) -> None:
    ui.translateButton.click()
    ui.sourceVolumeSelector.setCurrentNode(add_head("other"))
    host.waitUntil(lambda: not running(), PATIENCE)
    assert chosen.resultVolume.GetName() == "head as T1w"
    assert (chosen.outputVolume, chosen.outputSegmentation) == (None, None)


def test_the_same_source_is_translated_into_the_same_outputs_again(ui: Any, chosen: Any) -> None:
    _translate(ui)
    nodes = node_ids()
    _translate(ui)
    assert node_ids() == nodes


def test_an_output_that_the_user_has_chosen_stays_when_the_source_changes(ui: Any, chosen: Any) -> None:
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    ui.outputVolumeSelector.setCurrentNode(mine)
    ui.outputSegmentationSelector.addNode()
    segmentation = chosen.outputSegmentation
    ui.sourceVolumeSelector.setCurrentNode(add_head("other"))
    assert (chosen.outputVolume, chosen.outputSegmentation) == (mine, segmentation)
    _translate(ui)
    assert chosen.resultVolume is mine


def test_a_preview_of_another_source_is_a_node_of_its_own(ui: Any, chosen: Any) -> None:
    view = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    view.SetOrientation("Axial")
    view.SetSliceOffset(-3)
    ui.previewButton.click()
    host.waitUntil(lambda: not running(), PATIENCE)
    first = chosen.previewVolume
    ui.sourceVolumeSelector.setCurrentNode(add_head("other"))
    ui.previewButton.click()
    host.waitUntil(lambda: not running(), PATIENCE)
    assert chosen.previewVolume is not first
    assert chosen.previewVolume.GetName() == "other as T1w (part)"


@pytest.fixture
def frames(ui: Any, chosen: Any) -> Any:
    chosen.sourceVolume = add_sequence(3)
    ui.allFramesCheckBox.checked = True
    return chosen.sourceVolume


def _counts() -> dict[str, int]:
    kinds = ("vtkMRMLSequenceNode", "vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode")
    return {kind: slicer.mrmlScene.GetNumberOfNodesByClass(kind) for kind in kinds}


def test_all_frames_again_replace_their_own_result(ui: Any, chosen: Any, frames: Any) -> None:
    _translate(ui)
    volume, counts = chosen.resultVolume, _counts()
    sequence = slicer.util.getNode("browser").GetSequenceNode(volume)
    sequence.RemoveDataNodeAtValue(sequence.GetNthIndexValue(2))
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(slicer.util.getNode("browser"))
    _translate(ui)
    assert chosen.resultVolume is volume
    assert sequence.GetNumberOfDataNodes() == 3
    assert _counts() == counts
    assert ui.volumesTable.rowCount == 3


def test_frames_that_the_source_has_lost_leave_the_result(ui: Any, chosen: Any, frames: Any) -> None:
    _translate(ui)
    browser = slicer.util.getNode("browser")
    source, result = browser.GetSequenceNode(frames), browser.GetSequenceNode(chosen.resultVolume)
    source.RemoveDataNodeAtValue(source.GetNthIndexValue(2))
    _translate(ui)
    assert [result.GetNthIndexValue(number) for number in range(result.GetNumberOfDataNodes())] == ["0.0", "0.5"]


def test_all_frames_are_shown_by_the_chosen_outputs(ui: Any, chosen: Any, frames: Any) -> None:
    ui.outputVolumeSelector.addNode()
    ui.outputSegmentationSelector.addNode()
    volume, segmentation = chosen.outputVolume, chosen.outputSegmentation
    names = volume.GetName(), segmentation.GetName()
    _translate(ui)
    assert (chosen.resultVolume, chosen.resultSegmentation) == (volume, segmentation)
    browser = slicer.util.getNode("browser")
    assert browser.GetSequenceNode(volume).GetNumberOfDataNodes() == 3
    for number in range(3):
        browser.SetSelectedItemNumber(number)
        frame = slicer.util.arrayFromVolume(frames)
        np.testing.assert_allclose(slicer.util.arrayFromVolume(volume), frame / frame.max(), atol=1e-5)
    assert (volume.GetName(), segmentation.GetName()) == names


def test_one_frame_after_all_frames_does_not_replace_them(ui: Any, chosen: Any, frames: Any) -> None:
    _translate(ui)
    sequence_volume = chosen.resultVolume
    ui.allFramesCheckBox.checked = False
    assert chosen.outputVolume is None
    _translate(ui)
    assert chosen.resultVolume is not sequence_volume


def test_sequences_lie_where_their_source_lies_and_beside_it(ui: Any, chosen: Any, frames: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(frames), study)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    frames.SetAndObserveTransformNodeID(transform.GetID())
    _translate(ui)
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert chosen.resultSegmentation.GetNodeReference(role) is frames
    for node in (chosen.resultVolume, chosen.resultSegmentation):
        assert node.GetTransformNodeID() == transform.GetID()
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    display = chosen.resultSegmentation.GetDisplayNode()
    assert [display.GetSegmentVisibility(f"Segment_{n}") for n in range(1, 6)] == [False, True, True, True, True]


def test_the_table_of_frames_holds_the_volumes_of_each(ui: Any, chosen: Any, frames: Any) -> None:
    browser = slicer.util.getNode("browser")
    second = browser.GetSequenceNode(frames).GetNthDataNode(1)
    slicer.util.updateVolumeFromArray(second, slicer.util.arrayFromVolume(second) * (np.arange(48) < 20)[:, None])
    _translate(ui)
    volumes = [ui.volumesTable.item(number, 4).text() for number in range(3)]
    assert volumes[0] != volumes[1]
    for number in range(3):
        browser.SetSelectedItemNumber(number)
        for label in range(2, 6):
            mask = slicer.util.arrayFromSegmentBinaryLabelmap(
                chosen.resultSegmentation, f"Segment_{label}", chosen.resultVolume
            )
            shown = float(ui.volumesTable.item(number, label - 1).text())
            assert shown == pytest.approx(np.count_nonzero(mask) * 0.008, abs=0.051)
