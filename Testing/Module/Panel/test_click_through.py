"""The whole job as a user does it: bundled checkpoint, bundled scan, the real worker, pictures looked at."""

import importlib.util
from pathlib import Path
from typing import Any

import host
import numpy as np
import pytest
import qt
import slicer
from conftest import PATIENCE, add_head, choose_fastest, package, run_folders, running
from make_sequence import add_sequence


def test_a_new_user_gets_a_segmentation_over_the_sample_scan_in_two_clicks(widget: Any, ui: Any) -> None:
    if not package("Base.Checkpoints").known_checkpoints().get(package("Base.Checkpoints").DEFAULT_CHECKPOINT):
        pytest.skip("no default checkpoint is bundled yet")
    slicer.app.startupCompleted.emit()
    ui.sampleButton.click()
    source = ui.sourceVolumeSelector.currentNode()
    assert source.GetName() == "SRI24 PDw"
    assert ui.brainMaskSelector.currentNode().GetName() == "SRI24 brain mask"
    assert "72 x 91" in ui.volumeInfoLabel.text
    ui.qualityComboBox.currentText = package("Base.Presets").Quality.FAST.label()

    ui.translateButton.click()
    fractions, texts = [], set()
    host.waitUntil(
        lambda: fractions.append(ui.progressBar.value) or texts.add(ui.statusLabel.text) or not running(), 900
    )
    assert ui.statusLabel.text.startswith("Done in"), ui.statusLabel.text
    assert len(set(fractions)) > 5
    assert any("slice" in text and "left" in text for text in texts)

    volume = ui.outputVolumeSelector.currentNode()
    segmentation = ui.outputSegmentationSelector.currentNode()
    np.testing.assert_array_equal(
        package("Scene.Geometry").ijkToRas(volume), package("Scene.Geometry").ijkToRas(source)
    )
    array = slicer.util.arrayFromVolume(volume)
    assert array.shape == slicer.util.arrayFromVolume(source).shape
    assert array.min() >= 0 and 0.3 < array.max() <= 1
    names = [segmentation.GetSegmentation().GetNthSegment(index).GetName() for index in range(3)]
    assert names == ["CSF", "gray matter", "white matter"]
    volumes = [float(ui.volumesTable.item(row, 1).text()) for row in range(3)]
    brain = np.count_nonzero(slicer.util.arrayFromVolume(ui.brainMaskSelector.currentNode())) * 0.008
    assert sum(volumes) == pytest.approx(brain, rel=1e-3)

    view = host.view2D()
    view.fit()
    shown = view.pixels().astype(int)
    segmentation.GetDisplayNode().SetVisibility(False)
    hidden = view.pixels().astype(int)
    segmentation.GetDisplayNode().SetVisibility(True)
    assert np.count_nonzero((shown != hidden).any(-1)) > 1000
    assert np.count_nonzero(hidden.std(-1) < 3) > 0.9 * hidden.shape[0] * hidden.shape[1], "without segments it is gray"


def test_a_sequence_becomes_sequences_in_one_process(widget: Any, ui: Any, checkpoint: Path) -> None:
    node = choose_fastest(widget, checkpoint)
    node.sourceVolume = add_sequence(2)
    ui.allFramesCheckBox.checked = True
    ui.translateButton.click()
    host.waitUntil(lambda: not running(), PATIENCE)
    assert ui.statusLabel.text.startswith("2 frames done"), ui.statusLabel.text
    browser = slicer.util.getNode("browser")
    frames = [browser.GetSequenceNode(node.resultVolume).GetNthDataNode(number) for number in range(2)]
    arrays = [slicer.util.arrayFromVolume(frame) for frame in frames]
    assert arrays[0].shape == slicer.util.arrayFromVolume(node.sourceVolume).shape
    assert all(array.std() > 0.05 for array in arrays)
    assert not np.array_equal(*arrays)


def test_a_bad_volume_among_several_is_named_and_the_others_are_done(
    widget: Any, ui: Any, head: Any, checkpoint: Path, temporary_folder: Path
) -> None:
    node = choose_fastest(widget, checkpoint)
    node.sourceVolume = head
    add_head("damaged")

    def check_all(dialog: Any) -> None:
        dialog.findChild(qt.QCheckBox).click()
        dialog.findChild(qt.QDialogButtonBox).button(qt.QDialogButtonBox.Ok).click()

    host.answerNext(check_all)
    ui.severalButton.click()
    (folder,) = run_folders(temporary_folder)
    (folder / "1" / "source.nii").write_bytes(b"no longer a volume")
    host.waitUntil(lambda: not running(), PATIENCE)
    assert ui.statusLabel.text.startswith("1 of 2 volumes done. damaged failed: damaged "), ui.statusLabel.text
    assert node.resultVolume.GetName() == "head as T1w"


def test_notices_about_a_scan_come_with_its_result_alone(widget: Any, ui: Any, head: Any, checkpoint: Path) -> None:
    node = choose_fastest(widget, checkpoint)
    padded = slicer.util.addVolumeFromArray(slicer.util.arrayFromVolume(head).copy(), None, "padded")
    array = slicer.util.arrayFromVolume(padded)
    array[:, :, :2] = -1000
    array[0, 0, -3:] = np.nan
    slicer.util.arrayFromVolumeModified(padded)
    for source in (padded, head, padded):
        node.sourceVolume = source
        ui.translateButton.click()
        host.waitUntil(lambda: not running(), PATIENCE)
        assert ui.statusLabel.text.startswith("Done in"), ui.statusLabel.text
        text = ui.noticesLabel.text
        assert ui.noticesLabel.isHidden() == (source is head)
        if source is padded:
            assert text.startswith("Look at the source: padded has 3 NaN or infinite voxels")
            assert "voxels of -1000 count as air" in text
    node.resultVolume = None
    assert ui.noticesLabel.isHidden()


def test_without_a_mask_the_brain_is_found_in_the_translation(widget: Any, ui: Any) -> None:
    if importlib.util.find_spec("deepbet") is None:  # importing it would bring PyTorch into this process
        pytest.skip("needs deepbet; pip install '.[brain]'")
    slicer.app.startupCompleted.emit()
    ui.sampleButton.click()
    mask = ui.brainMaskSelector.currentNode()
    true = package("Scene.Geometry").arrayInOrderOf(ui.sourceVolumeSelector.currentNode(), mask) > 0
    ui.brainMaskSelector.setCurrentNode(None)
    ui.findBrainCheckBox.checked = True
    ui.qualityComboBox.currentText = package("Base.Presets").Quality.FAST.label()
    ui.translateButton.click()
    host.waitUntil(lambda: not running(), 900)
    assert ui.statusLabel.text.startswith("Done in"), ui.statusLabel.text
    segmentation, volume = widget.panel.parameterNode.resultSegmentation, widget.panel.parameterNode.resultVolume
    assert [ui.volumesTable.item(row, 0).text() for row in range(3)] == ["CSF", "gray matter", "white matter"]
    found = sum(
        slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, f"Segment_{label}", volume) for label in (1, 2, 3)
    )
    assert 2 * np.count_nonzero((found > 0) & true) / (np.count_nonzero(found) + np.count_nonzero(true)) > 0.9
