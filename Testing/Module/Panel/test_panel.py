"""The panel: what it shows and offers, what it refuses, what it remembers."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import conftest
import host
import numpy as np
import pytest
import slicer
from conftest import PATIENCE, add_head, package, running, workers
from quick_process import quick_runs

from LMIDiffusionLib.interface.resources import user_checkpoint_folder


@pytest.fixture(autouse=True)
def chosen(widget: Any, checkpoint: Path) -> Any:
    """The parameter node, with the tiny checkpoint and the fastest settings."""
    return conftest.choose_fastest(widget, checkpoint)


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, widget: Any) -> Iterator[None]:
    """The panel's runs end at once; where a test brings a launcher of its own, that is run."""
    with contextlib.nullcontext() if "launcher" in request.fixturenames else quick_runs(widget.logic):
        yield


def _finish(widget: Any) -> None:
    host.waitUntil(lambda: not running(), PATIENCE)


def test_without_a_volume_translate_is_off_and_says_why(ui: Any) -> None:
    assert not ui.translateButton.enabled
    assert "Choose a volume" in ui.translateButton.toolTip
    assert "sample" in ui.volumeInfoLabel.text


def test_no_two_widgets_lie_in_one_place() -> None:
    file = conftest.ROOT / "LMIDiffusion" / "Resources" / "UI" / "LMIDiffusion.ui"
    for layout in ElementTree.parse(file).iter("layout"):
        places = [(item.get("row"), item.get("column")) for item in layout.findall("item") if item.get("row")]
        assert len(set(places)) == len(places), layout.get("name")


def test_the_chosen_volume_is_described_and_translate_is_on(ui: Any, head: Any) -> None:
    ui.sourceVolumeSelector.setCurrentNode(head)
    assert ui.volumeInfoLabel.text == "40 x 48 x 20 voxels of 2 x 2 x 2 mm, RAS"
    assert ui.translateButton.enabled
    assert ui.translateButton.text == "Translate"


def test_a_volume_that_cannot_be_translated_turns_translate_off_with_the_reason(ui: Any, head: Any) -> None:
    ui.sourceVolumeSelector.setCurrentNode(head)
    slicer.util.updateVolumeFromArray(head, np.ones((20, 48, 40), np.float32))
    ui.sourceVolumeSelector.setCurrentNode(None)
    ui.sourceVolumeSelector.setCurrentNode(head)
    assert not ui.translateButton.enabled
    assert "same value" in ui.volumeInfoLabel.text


def test_a_preset_sets_sampler_steps_and_samples(ui: Any, chosen: Any) -> None:
    presets = package("Base.Presets")
    for quality, preset in presets.PRESETS.items():
        ui.qualityComboBox.currentText = quality.label()
        assert (chosen.sampler, chosen.steps, chosen.samples) == (preset.sampler, preset.steps, preset.samples)
        assert ui.stepsSpinBox.value == preset.steps
        assert ui.samplesSpinBox.value == preset.samples


def test_changing_a_value_by_hand_makes_the_preset_custom(ui: Any, chosen: Any) -> None:
    ui.qualityComboBox.currentText = package("Base.Presets").Quality.FAST.label()
    ui.stepsSpinBox.value = 9
    assert ui.qualityComboBox.currentText == "Custom"
    assert chosen.steps == 9


def test_every_preset_costs_more_than_the_one_before() -> None:
    presets = package("Base.Presets")
    quality = presets.Quality
    costs = [preset.steps * preset.samples for preset in map(presets.PRESETS.get, quality) if preset is not None]
    assert costs == sorted(costs)
    assert len(set(costs)) == 4


def test_the_summary_of_a_checkpoint_tells_what_it_is(ui: Any) -> None:
    for text in ("T1w", "2 mm", "random weights", "CC0"):
        assert text in ui.checkpointComboBox.toolTip
    assert ui.checkpointProblemLabel.isHidden()


def test_a_damaged_checkpoint_turns_translate_off_with_the_reason(
    ui: Any, head: Any, chosen: Any, tmp_path: Path
) -> None:
    chosen.sourceVolume = head
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nonsense")
    ui.checkpointPathLineEdit.currentPath = str(bad)
    assert not ui.translateButton.enabled
    assert "truncated" in ui.checkpointProblemLabel.text
    assert not ui.checkpointProblemLabel.isHidden()


def test_checkpoints_in_the_users_folder_are_listed(
    widget: Any, ui: Any, chosen: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = user_checkpoint_folder()
    folder.mkdir(parents=True)
    (folder / "mine.safetensors").write_bytes(checkpoint.read_bytes())
    slicer.mrmlScene.Clear(0)
    index = ui.checkpointComboBox.findData("mine")
    ui.checkpointComboBox.setCurrentIndex(index)
    ui.checkpointComboBox.activated.emit(index)
    assert widget.panel.parameterNode.checkpoint == "mine"
    assert not widget.panel.parameterNode.useCheckpointFile
    assert "random weights" in ui.checkpointComboBox.toolTip


def test_translate_shows_progress_fills_new_outputs_and_the_result_part(
    widget: Any, ui: Any, head: Any, chosen: Any, messages: list[str]
) -> None:
    chosen.sourceVolume = head
    ui.translateButton.click()
    assert ui.translateButton.text == "Cancel"
    assert not ui.previewButton.enabled
    host.waitUntil(lambda: not running(), PATIENCE)
    assert any("slice" in text and "left" in text for text in messages), messages
    assert ui.statusLabel.text.startswith("Done in")
    assert ui.translateButton.text == "Translate"
    assert ui.outputVolumeSelector.currentNode() is chosen.resultVolume is chosen.outputVolume
    assert ui.outputSegmentationSelector.currentNode() is chosen.resultSegmentation
    names = [ui.volumesTable.item(row, 0).text() for row in range(ui.volumesTable.rowCount)]
    assert names == ["Class 2", "Class 3", "Class 4", "Class 5"], "Class 1 is air"
    assert float(ui.volumesTable.item(0, 1).text()) > 0
    assert "translating" in ui.logTextEdit.toPlainText()
    assert ui.resultCollapsibleButton.enabled


def test_a_second_click_cancels_and_nothing_is_made(widget: Any, ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    count = slicer.mrmlScene.GetNumberOfNodes()
    ui.translateButton.click()
    host.processEvents(0.05)
    ui.translateButton.click()
    assert not running()
    assert "cancelled" in ui.statusLabel.text
    assert ui.translateButton.text == "Translate"
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert workers() == []


def test_the_panel_can_be_used_while_it_runs(widget: Any, ui: Any, head: Any, chosen: Any) -> None:
    other = add_head("other")
    chosen.sourceVolume = head
    ui.translateButton.click()
    ui.sourceVolumeSelector.setCurrentNode(other)
    ui.stepsSpinBox.value = 33
    assert ui.translateButton.text == "Cancel"
    assert ui.translateButton.enabled
    _finish(widget)
    assert chosen.resultVolume.GetName() == "head as T1w"
    assert chosen.sourceVolume is other


def test_a_preview_translates_the_slice_in_the_red_view_and_leaves_the_outputs_alone(
    widget: Any, ui: Any, head: Any, chosen: Any
) -> None:
    view = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    chosen.sourceVolume = head
    view.SetOrientation("Axial")
    view.SetSliceOffset(-19 + 8 * 2.0)
    ui.previewButton.click()
    _finish(widget)
    array = slicer.util.arrayFromVolume(chosen.previewVolume)
    assert np.flatnonzero(array.any(axis=(1, 2))).tolist() == [8]
    assert chosen.outputVolume is None
    assert chosen.resultVolume is chosen.previewVolume
    assert "(part)" in chosen.previewVolume.GetName()


def test_a_preview_outside_the_volume_says_so(ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").SetSliceOffset(900)
    ui.previewButton.click()
    assert "scroll" in ui.statusLabel.text
    assert not running()


def test_the_slice_range_fits_the_volume(widget: Any, ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    assert (ui.firstSliceSpinBox.value, ui.lastSliceSpinBox.value) == (0, 19)
    ui.limitSlicesCheckBox.checked = True
    ui.firstSliceSpinBox.value = 7
    ui.lastSliceSpinBox.value = 5
    assert (chosen.firstSlice, chosen.lastSlice) == (7, 7)
    ui.lastSliceSpinBox.value = 8
    ui.translateButton.click()
    _finish(widget)
    array = slicer.util.arrayFromVolume(chosen.outputVolume)
    assert np.flatnonzero(array.any(axis=(1, 2))).tolist() == [7, 8]


def test_an_error_shows_a_sentence_and_the_log_behind_details(
    widget: Any, ui: Any, head: Any, chosen: Any, launcher: Any
) -> None:
    launcher("echo 'ImportError: DLL load failed' >&2; exit 1")
    chosen.sourceVolume = head
    ui.logCollapsibleButton.collapsed = True
    ui.translateButton.click()
    _finish(widget)
    assert ui.statusLabel.text == "The worker process failed: ImportError: DLL load failed"
    assert not ui.detailsButton.isHidden()
    ui.detailsButton.click()
    assert not ui.logCollapsibleButton.collapsed
    assert "DLL load failed" in ui.logTextEdit.toPlainText()
    assert ui.translateButton.enabled


def test_swap_and_opacity_and_side_by_side_reach_the_slice_views(widget: Any, ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    ui.translateButton.click()
    _finish(widget)
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    source, translation = head.GetID(), chosen.resultVolume.GetID()
    assert (red.GetBackgroundVolumeID(), red.GetForegroundVolumeID()) == (source, translation)
    assert red.GetForegroundOpacity() == 1
    ui.translationOpacitySlider.value = 0.4
    assert red.GetForegroundOpacity() == pytest.approx(0.4)
    ui.swapButton.click()
    assert (red.GetBackgroundVolumeID(), red.GetForegroundVolumeID()) == (translation, source)
    ui.swapButton.click()
    ui.viewModeComboBox.currentText = "Side by side"
    yellow = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeYellow")
    assert (red.GetBackgroundVolumeID(), yellow.GetBackgroundVolumeID()) == (source, translation)
    ui.viewModeComboBox.currentText = "Blended"
    assert (red.GetBackgroundVolumeID(), red.GetForegroundVolumeID()) == (source, translation)


def test_the_opacity_of_the_segments_is_set(widget: Any, ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    ui.translateButton.click()
    _finish(widget)
    ui.segmentationOpacitySlider.value = 0.25
    assert chosen.resultSegmentation.GetDisplayNode().GetOpacity() == pytest.approx(0.25)


def test_views_that_the_user_has_changed_since_are_left_alone(widget: Any, ui: Any, head: Any, chosen: Any) -> None:
    other = add_head("other")
    chosen.sourceVolume = head
    ui.translateButton.click()
    _finish(widget)
    slicer.util.setSliceViewerLayers(background=other)
    ui.stepsSpinBox.value = 44
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert red.GetBackgroundVolumeID() == other.GetID()


def test_a_checkpoint_from_another_computer_falls_back_with_a_message(
    widget: Any, ui: Any, chosen: Any, tmp_path: Path
) -> None:
    chosen.checkpointFile = Path("/home/somebody/else.safetensors")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(path))
    assert not widget.panel.parameterNode.useCheckpointFile
    assert "else.safetensors" in ui.statusLabel.text


def test_a_gpu_from_another_computer_falls_back_with_a_message(
    widget: Any, ui: Any, chosen: Any, launcher: Any, tmp_path: Path
) -> None:
    launcher('echo \'{"cuda": [["Some GPU", 8589934592]], "mps": false}\'')
    chosen.device = "cuda:7"
    host.waitUntil(lambda: chosen.device == "auto", PATIENCE)
    assert "cuda:7" in ui.statusLabel.text
    labels = [ui.deviceComboBox.itemText(index) for index in range(ui.deviceComboBox.count)]
    assert labels == ["Automatic", "Some GPU (8 GB)", "CPU"]


def test_the_device_probe_prints_the_devices_of_pytorch() -> None:
    """The probe's own text, run in a real Python with PyTorch."""
    done = subprocess.run(
        [sys.executable, "-c", package("Worker.Devices")._PROBE], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    names = [device.name for device in package("Worker.Devices").parseDevices(done.stdout)]
    expected = [f"cuda:{index}" for index in range(len(found["cuda"]))] + ["mps"] * found["mps"]
    assert names == ["auto", *expected, "cpu"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Pythons before 3.11 import from the folder that they are in")
def test_what_lies_in_the_working_folder_is_not_run_by_python_beside_slicer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "torch", "pip", "light_the_torch", "LMIDiffusionLib"):
        (tmp_path / f"{name}.py").write_text("print('planted')")
    monkeypatch.chdir(tmp_path)
    environment = package("Base.Paths").workerEnvironment()
    for words in (["-m", "LMIDiffusionLib", "--version"], ["-m", "pip", "--version"], ["-c", "import json"]):
        done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=True)
        assert "planted" not in done.stdout


def test_python_beside_slicer_is_started_in_the_librarys_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """For Pythons before 3.11."""
    starts: list[Any] = []
    monkeypatch.setattr(package("Worker.Devices"), "WorkerProcess", lambda command, **more: starts.append(more))
    package("Worker.Devices").DeviceProbe(lambda devices: None)
    assert starts[0]["folder"] == package("Base.Paths").LIBRARY_FOLDER
    assert starts[0]["environment"]["PYTHONSAFEPATH"] == "1"


def test_closing_the_scene_during_a_run_leaves_a_usable_panel(widget: Any, ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    ui.translateButton.click()
    slicer.mrmlScene.Clear(0)
    assert not running()
    assert ui.translateButton.text == "Translate"
    assert not ui.translateButton.enabled
    assert "scene was closed" in ui.statusLabel.text


def test_a_mask_changes_what_is_offered(ui: Any, head: Any, chosen: Any) -> None:
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "brain")
    ui.brainMaskSelector.setCurrentNode(mask)
    assert chosen.brainMask is mask
    assert not ui.clustersComboBox.enabled
    ui.brainMaskSelector.setCurrentNode(None)
    assert ui.clustersComboBox.enabled


def test_reload_during_a_run_ends_it_and_loads_all_code_anew(module: Any, head: Any) -> None:
    """The last test: what the others hold of the module is of the old code."""
    widget = module.widget
    widget.panel.parameterNode.sourceVolume = head
    widget.ui.translateButton.click()
    old_run, old_logic = package("Logic.TranslationRun").TranslationRun, widget.logic
    widget.onReload()
    assert not old_logic.isRunning
    assert workers() == []
    assert package("Logic.TranslationRun").TranslationRun is not old_run
    new = slicer.modules.LMIDiffusionWidget
    assert new is not widget
    new.panel.parameterNode.sourceVolume = head
    new.ui.translateButton.click()
    host.waitUntil(lambda: not running(), PATIENCE)
    assert new.panel.parameterNode.resultVolume is not None
