"""Sequences, several volumes, settings, downloads, finding the brain, the report: each clicked through."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import conftest
import host
import numpy as np
import pytest
import qt
import quick_process
import slicer
from conftest import PATIENCE, add_head, node_ids, package, running
from https_server import certificate, https_server, send
from make_sequence import add_sequence
from quick_process import quick_runs

from LMIDiffusionLib.interface.resources import user_checkpoint_folder


@pytest.fixture(autouse=True)
def chosen(widget: Any, checkpoint: Path) -> Iterator[Any]:
    """The parameter node, with the tiny checkpoint; runs end at once."""
    with quick_runs(widget.logic):
        yield conftest.choose_fastest(widget, checkpoint)


def _finish() -> None:
    host.waitUntil(lambda: not running(), PATIENCE)


def test_a_volume_of_no_sequence_offers_no_frames(ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    assert ui.allFramesCheckBox.isHidden()


def _browser() -> Any:
    return slicer.util.getNode("browser")


def test_all_frames_become_sequences_with_the_same_index_values(ui: Any, chosen: Any, messages: list[str]) -> None:
    chosen.sourceVolume = add_sequence(3)
    assert not ui.allFramesCheckBox.isHidden()
    assert "3 frames" in ui.allFramesCheckBox.text
    ui.allFramesCheckBox.checked = True
    ui.translateButton.click()
    _finish()
    assert any(text.startswith("Volume 2 of 3. ") and text.endswith("left") for text in messages), messages
    assert ui.statusLabel.text.startswith("3 frames done")
    source = _browser().GetSequenceNode(chosen.sourceVolume)
    for node in (chosen.resultVolume, chosen.resultSegmentation):
        sequence = _browser().GetSequenceNode(node)
        values = [sequence.GetNthIndexValue(number) for number in range(3)]
        assert values == [source.GetNthIndexValue(number) for number in range(3)] == ["0.0", "0.5", "1.0"]
        assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("time", "s")
    assert chosen.resultVolume.GetName() == "dynamic as T1w"
    assert ui.volumesTable.rowCount == 3
    assert ui.volumesTable.columnCount == 5


def test_each_frame_holds_its_own_translation_where_its_source_lies(ui: Any, chosen: Any) -> None:
    chosen.sourceVolume = add_sequence(2)
    ui.allFramesCheckBox.checked = True
    ui.translateButton.click()
    _finish()
    translations = _browser().GetSequenceNode(chosen.resultVolume)
    for number in range(2):
        _browser().SetSelectedItemNumber(number)
        frame = slicer.util.arrayFromVolume(chosen.sourceVolume)
        found = slicer.util.arrayFromVolume(translations.GetNthDataNode(number))
        np.testing.assert_allclose(found, frame / frame.max(), atol=1e-5)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(chosen.resultVolume), found)
        matrices = [package("Scene.Geometry").ijkToRas(each) for each in (chosen.resultVolume, chosen.sourceVolume)]
        np.testing.assert_array_equal(*matrices)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(chosen.resultSegmentation, "Segment_5", chosen.resultVolume)
        np.testing.assert_array_equal(mask > 0, found >= 0.8)


def test_cancelling_a_sequence_keeps_nothing(ui: Any, chosen: Any) -> None:
    chosen.sourceVolume = add_sequence(3)
    ui.allFramesCheckBox.checked = True
    before = node_ids()
    ui.translateButton.click()
    host.waitUntil(lambda: ui.statusLabel.text.startswith("Volume 3"), PATIENCE)
    ui.translateButton.click()
    assert "cancelled" in ui.statusLabel.text
    assert node_ids() == before


def test_deleting_the_sequence_ends_its_translation(ui: Any, chosen: Any) -> None:
    chosen.sourceVolume = add_sequence(3)
    ui.allFramesCheckBox.checked = True
    ui.translateButton.click()
    slicer.mrmlScene.RemoveNode(_browser().GetSequenceNode(chosen.sourceVolume))
    assert not running()
    assert "deleted" in ui.statusLabel.text


def test_an_uncertainty_of_frames_is_refused(ui: Any, chosen: Any) -> None:
    chosen.sourceVolume, chosen.allFrames, chosen.uncertainty, chosen.samples = add_sequence(2), True, True, 2
    ui.translateButton.click()
    assert "no uncertainty map" in ui.statusLabel.text
    assert not running()


def test_a_brain_mask_serves_every_frame(ui: Any, chosen: Any) -> None:
    chosen.sourceVolume, chosen.allFrames = add_sequence(2), True
    array = (slicer.util.arrayFromVolume(chosen.sourceVolume) > 500).astype(np.uint8)
    ijk_to_ras = package("Scene.Geometry").ijkToRas(chosen.sourceVolume)
    chosen.brainMask = slicer.util.addVolumeFromArray(array, ijk_to_ras, "brain", "vtkMRMLLabelMapVolumeNode")
    ui.translateButton.click()
    _finish()
    assert ui.statusLabel.text.startswith("2 frames done"), ui.statusLabel.text
    names = [ui.volumesTable.horizontalHeaderItem(column).text() for column in range(ui.volumesTable.columnCount)]
    assert names == ["time [s]", "CSF [mL]", "gray matter [mL]", "white matter [mL]"]


def test_one_frame_is_translated_where_all_are_not_asked_for(ui: Any, chosen: Any) -> None:
    chosen.sourceVolume = add_sequence(3)
    ui.translateButton.click()
    _finish()
    assert _browser().GetSequenceNode(chosen.resultVolume) is None
    assert chosen.outputVolume is chosen.resultVolume


def _button(dialog: Any, which: int) -> Any:
    return dialog.findChild(qt.QDialogButtonBox).button(which)


def _check(names: set[str]) -> Any:
    """Answers the dialog by checking the volumes of these names and clicking its button."""

    def answer(dialog: Any) -> None:
        volumes = dialog.findChild(qt.QListWidget)
        for row in range(volumes.count):
            item = volumes.item(row)
            if item.text() in names:
                assert item.flags() & qt.Qt.ItemIsUserCheckable
                item.setCheckState(qt.Qt.Checked)
        _button(dialog, qt.QDialogButtonBox.Ok).click()

    return answer


def test_several_volumes_are_translated_in_one_run_into_new_outputs(ui: Any, head: Any, chosen: Any) -> None:
    add_head("second"), add_head("third")
    chosen.sourceVolume = head
    host.answerNext(_check({"head", "third"}))
    ui.severalButton.click()
    _finish()
    assert ui.statusLabel.text == "2 of 2 volumes done."
    names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
    assert names == {"head", "second", "third", "head as T1w", "third as T1w"}
    assert chosen.outputVolume is None


def test_a_volume_that_fails_is_named_and_the_others_are_done(
    widget: Any, ui: Any, head: Any, chosen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_head("second")
    quick_translate = quick_process._translate
    events = quick_process.events
    error = events.Error(events.ErrorKind.BAD_INPUT, "No head was found.")

    def translate(job: dict[str, Any]) -> Any:
        return error if Path(job["output"]).parent.name == "0" else quick_translate(job)

    monkeypatch.setattr("quick_process._translate", translate)
    chosen.sourceVolume = head
    host.answerNext(_check({"head", "second"}))
    ui.severalButton.click()
    _finish()
    assert ui.statusLabel.text == "1 of 2 volumes done. head failed: No head was found."
    assert chosen.resultVolume.GetName() == "second as T1w"


def test_a_volume_that_cannot_be_translated_cannot_be_checked(ui: Any, head: Any, chosen: Any) -> None:
    flat = slicer.util.addVolumeFromArray(np.ones((20, 40, 40), np.float32), None, "flat")
    seen: list[Any] = []

    def answer(dialog: Any) -> None:
        volumes = dialog.findChild(qt.QListWidget)
        items = [volumes.item(row) for row in range(volumes.count)]
        seen.extend((item.text(), item.toolTip(), bool(item.flags() & qt.Qt.ItemIsEnabled)) for item in items)
        _button(dialog, qt.QDialogButtonBox.Cancel).click()

    host.answerNext(answer)
    ui.severalButton.click()
    assert ("head", "", True) in seen
    assert any(text.startswith(flat.GetName()) and "same value" in why and not on for text, why, on in seen)
    assert not running()


def test_checkpoint_device_and_quality_are_kept_for_the_next_session(
    widget: Any, ui: Any, head: Any, chosen: Any, checkpoint: Path
) -> None:
    chosen.sourceVolume = head
    ui.qualityComboBox.currentText = "Fast"
    ui.translateButton.click()
    _finish()
    slicer.mrmlScene.Clear(0)
    fresh = widget.panel.parameterNode
    assert fresh.checkpointFile == checkpoint and fresh.useCheckpointFile
    assert fresh.device == "cpu"
    assert fresh.quality is package("Base.Presets").Quality.FAST
    assert ui.qualityComboBox.currentText == "Fast"


def test_choices_of_a_scene_go_before_kept_ones(widget: Any, ui: Any, head: Any, chosen: Any, tmp_path: Path) -> None:
    chosen.sourceVolume, chosen.steps, chosen.samples = head, 7, 3
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    ui.qualityComboBox.currentText = "Fast"
    ui.translateButton.click()
    _finish()
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert (widget.panel.parameterNode.steps, widget.panel.parameterNode.samples) == (7, 3)


def test_new_outputs_are_named_after_the_source(ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    ui.outputVolumeSelector.addNode()
    ui.outputSegmentationSelector.addNode()
    assert chosen.outputVolume.GetName() == "head translated"
    assert chosen.outputSegmentation.GetName() == "head translated segmentation"


def _offering(checkpoint: Path, folder: Path, address: str, checksum: str) -> Path:
    """A copy of a checkpoint whose header names another file."""
    path = folder / "offering.safetensors"
    path.write_bytes(conftest.offering(checkpoint, address, checksum))
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def larger(checkpoint: Path, tmp_path: Path) -> Path:
    path = tmp_path / "larger one.safetensors"
    path.write_bytes(checkpoint.read_bytes())
    return path


def test_a_checkpoint_that_offers_none_has_no_download_button(ui: Any) -> None:
    assert ui.checkpointDownloadButton.isHidden()


@pytest.fixture
def served(larger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that has the larger checkpoint, and of which nothing else is known."""

    def answer(handler: Any) -> None:
        if handler.path == "/larger%20one.safetensors":
            send(handler, larger.read_bytes())
        else:
            handler.send_error(404)

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path)))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with https_server(answer, tmp_path) as address:
        yield address


def test_an_offered_checkpoint_is_downloaded_checked_and_chosen(
    ui: Any, chosen: Any, checkpoint: Path, larger: Path, served: str, home: Path, tmp_path: Path
) -> None:
    checksum = hashlib.sha256(larger.read_bytes()).hexdigest()
    chosen.checkpointFile = _offering(checkpoint, tmp_path, f"{served}/larger%20one.safetensors", checksum)
    assert not ui.checkpointDownloadButton.isHidden()
    ui.checkpointDownloadButton.click()
    assert not ui.checkpointDownloadButton.enabled
    host.waitUntil(lambda: "chosen" in ui.statusLabel.text, PATIENCE)
    folder = user_checkpoint_folder()
    assert [path.name for path in folder.iterdir()] == ["larger one.safetensors"]
    assert (folder / "larger one.safetensors").read_bytes() == larger.read_bytes()
    assert (chosen.checkpoint, chosen.useCheckpointFile) == ("larger one", False)
    assert "(larger one)" in ui.checkpointComboBox.currentText


@pytest.mark.parametrize("answer", [qt.QMessageBox.Cancel, qt.QMessageBox.Ok])
def test_a_file_is_replaced_by_a_download_only_after_a_question(
    answer: Any, ui: Any, chosen: Any, checkpoint: Path, larger: Path, served: str, home: Path, tmp_path: Path
) -> None:
    mine = user_checkpoint_folder() / "larger one.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    checksum = hashlib.sha256(larger.read_bytes()).hexdigest()
    chosen.checkpointFile = _offering(checkpoint, tmp_path, f"{served}/larger%20one.safetensors", checksum)
    questions: list[str] = []
    ui.statusLabel.text = ""
    host.setTesting(False)
    host.answerNext(lambda box: questions.append(box.text) or answer)
    ui.checkpointDownloadButton.click()
    host.setTesting(True)
    assert questions == ["larger one.safetensors is in your folder already. Replace it?"]
    if answer == qt.QMessageBox.Cancel:
        assert ui.checkpointDownloadButton.enabled
        assert mine.read_bytes() == b"mine"
        return
    host.waitUntil(lambda: "chosen" in ui.statusLabel.text, PATIENCE)
    assert mine.read_bytes() == larger.read_bytes()


@pytest.mark.parametrize("fault", ["checksum", "address"])
def test_a_bad_download_leaves_nothing_and_says_why(
    fault: str, ui: Any, chosen: Any, checkpoint: Path, larger: Path, served: str, home: Path, tmp_path: Path
) -> None:
    checksum = "0" * 64 if fault == "checksum" else hashlib.sha256(larger.read_bytes()).hexdigest()
    name = "larger%20one" if fault == "checksum" else "gone"
    chosen.checkpointFile = _offering(checkpoint, tmp_path, f"{served}/{name}.safetensors", checksum)
    ui.statusLabel.text = ""
    ui.checkpointDownloadButton.click()
    host.waitUntil(lambda: "could not be downloaded" in ui.statusLabel.text, PATIENCE)
    assert ("checksum is wrong" if fault == "checksum" else "404") in ui.statusLabel.text
    assert list(user_checkpoint_folder().iterdir()) == []
    assert ui.checkpointDownloadButton.enabled


def test_an_offer_by_another_way_than_https_is_none(
    ui: Any, chosen: Any, checkpoint: Path, larger: Path, tmp_path: Path
) -> None:
    for address in (larger.as_uri(), "http://127.0.0.1/x.safetensors", "https://127.0.0.1/.x.safetensors"):
        chosen.checkpointFile = _offering(checkpoint, tmp_path, address, "0" * 64)
        assert ui.checkpointDownloadButton.isHidden()


def test_checkpoints_are_listed_by_what_they_make_of_what(ui: Any) -> None:
    labels = [ui.checkpointComboBox.itemText(index) for index in range(ui.checkpointComboBox.count)]
    assert "T1w, 2 mm: LMI + intensities" in labels
    assert "T1w, 2 mm: LMI" in labels


def test_finding_the_brain_asks_for_its_package_and_goes_to_the_worker(
    ui: Any, head: Any, chosen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen.sourceVolume = head
    ui.findBrainCheckBox.checked = True
    assert not ui.clustersComboBox.enabled
    versions = {"deepbet>=1.0.2": "0.1"}
    monkeypatch.setattr(package("Base.Dependencies"), "_installed", lambda requirement: versions.get(requirement, "99"))
    ui.translateButton.click()
    assert "Nothing was installed" in ui.statusLabel.text


def test_a_mask_goes_before_finding_the_brain(widget: Any, ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume, chosen.findBrain = head, True
    assert widget.panel.request().findBrain
    ui.brainMaskSelector.setCurrentNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "brain"))
    assert not ui.findBrainCheckBox.enabled
    assert not widget.panel.request().findBrain


def test_the_brain_of_a_part_is_not_looked_for(ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume, chosen.findBrain, chosen.limitSlices = head, True, True
    assert "whole volumes" in ui.translateButton.toolTip
    assert not ui.translateButton.enabled


def test_segments_are_filled_until_outlines_alone_are_wanted(ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    ui.translateButton.click()
    _finish()
    display = chosen.resultSegmentation.GetDisplayNode()
    assert (display.GetVisibility2DFill(), display.GetVisibility2DOutline()) == (True, True)
    ui.segmentStyleComboBox.currentText = "Outlines"
    assert (display.GetVisibility2DFill(), display.GetVisibility2DOutline()) == (False, True)


def test_the_segments_of_the_result_before_do_not_lie_over_the_new_ones(ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    ui.translateButton.click()
    _finish()
    first = chosen.resultSegmentation
    chosen.outputSegmentation = chosen.outputVolume = None
    ui.translateButton.click()
    _finish()
    assert chosen.resultSegmentation is not first
    assert not first.GetDisplayNode().GetVisibility()
    assert chosen.resultSegmentation.GetDisplayNode().GetVisibility()


def test_the_hint_goes_away_with_the_first_result_and_stays_away(ui: Any, head: Any, chosen: Any) -> None:
    ui.hintLabel.setVisible(True)
    chosen.sourceVolume = head
    ui.translateButton.click()
    _finish()
    assert ui.hintLabel.isHidden()
    assert package("Scene.Settings").isHintKnown()


def test_the_report_says_all_that_helps_and_nothing_of_whom(widget: Any, ui: Any, chosen: Any, tmp_path: Path) -> None:
    chosen.sourceVolume = add_head("Doe^Jane")
    ui.translateButton.click()
    _finish()
    ui.logTextEdit.appendPlainText(r"reading C:\Users\jdoe\scan.nii and /home/jdoe/Jane/x.nii, Doe^Jane failed")
    ui.copyReportButton.click()
    text = slicer.app.clipboard().text()
    parts = ("LMIDiffusion 0.", "Slicer 5.", "torch ", "40 x 48 x 20 voxels", "steps 2", "device cpu", "random weights")
    for wanted in parts:
        assert wanted in text
    for secret in ("Doe", "jdoe", "Jane", str(tmp_path), str(Path.home()) + "/"):
        assert secret not in text


def test_every_widget_that_can_be_used_says_what_it_is_for(ui: Any) -> None:
    kinds = (qt.QPushButton, qt.QComboBox, qt.QCheckBox, qt.QSpinBox, slicer.qMRMLNodeComboBox)
    silent = [name for name, each in vars(ui).items() if isinstance(each, kinds) and not each.toolTip]
    assert silent == []
