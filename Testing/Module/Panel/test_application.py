"""Events of the application beyond clicks: other modules, oblique views, launchers, deleted nodes, newer scenes."""

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import borrowed
import conftest
import host
import numpy as np
import pytest
import qt
import slicer
from conftest import PATIENCE, add_head, package, running, start, wait_for_end, workers

from LMIDiffusionLib.interface.resources import user_checkpoint_folder


@pytest.fixture(autouse=True)
def chosen(widget: Any, checkpoint: Path) -> Any:
    """The parameter node, with the tiny checkpoint and the fastest settings."""
    return conftest.choose_fastest(widget, checkpoint)


def _positions(slider: Any) -> set[float]:
    """Values at which the mouse can let go of a slider."""
    handle = slider.findChild(qt.QSlider)
    handle.setSliderDown(True)
    found = set()
    for position in range(handle.minimum, handle.maximum + 1):
        handle.setSliderPosition(position)
        found.add(round(slider.value, 6))
    handle.setSliderDown(False)
    return found


@pytest.mark.parametrize("name", ["segmentationOpacitySlider", "translationOpacitySlider"])
def test_the_mouse_reaches_every_hundredth_of_an_opacity(name: str, ui: Any) -> None:
    assert {round(each / 100, 2) for each in range(101)} <= _positions(getattr(ui, name))


# As Slicer's launcher: a Python that crashed or was killed becomes a line of text and exit code 1.
_LAUNCHER = """"{python}" "$@"
code=$?
if [ $code -gt 128 ]; then echo "error: [/opt/Slicer/bin/./python-real] exit abnormally"; exit 1; fi
exit $code"""


def test_a_python_killed_behind_the_launcher_is_reported_as_killed(
    logic: Any, head: Any, fast: Any, launcher: Any
) -> None:
    launcher(_LAUNCHER.format(python=sys.executable))
    heard = start(logic, head, **fast)
    host.waitUntil(lambda: any(progress.stage for progress in heard.progress), PATIENCE)
    for process in workers():
        if os.getpgid(process) != process:
            os.kill(process, signal.SIGKILL)
    wait_for_end(heard)
    assert "ended from outside" in str(heard.error)


@pytest.mark.parametrize("code", [137, 0xC0000005])
def test_codes_of_killed_and_crashed_processes_are_known(code: int, module: Any) -> None:
    assert package("Worker.FailureMessages").wasKilled(code, [])
    assert not package("Worker.FailureMessages").wasKilled(1, ["ImportError: no module"])


def test_reload_and_test_passes_where_packages_are_missing(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package("Base.Dependencies"), "TORCH", "torch>=999")
    try:
        sys.modules["LMIDiffusion"].LMIDiffusionTest().runTest()
    except unittest.SkipTest:
        pytest.fail("a skipped test stopped all of them")


def _plane(name: str) -> np.ndarray:
    return slicer.util.arrayFromVTKMatrix(slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}").GetSliceToRAS())


def test_side_by_side_shows_one_oblique_plane_twice_and_then_puts_the_second_back(
    widget: Any, ui: Any, head: Any, chosen: Any
) -> None:
    conftest.add_result(chosen, head)
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    red.SetOrientation("Axial")
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    turn[:3, 3] = [3, 4, 5]
    red.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(_plane("Red") @ turn))
    red.UpdateMatrices()
    assert red.GetOrientation() == "Reformat", "else this test shows nothing"
    before = _plane("Yellow").copy()
    ui.viewModeComboBox.currentText = "Side by side"
    np.testing.assert_allclose(_plane("Yellow"), _plane("Red"))
    ui.viewModeComboBox.currentText = "Blended"
    np.testing.assert_allclose(_plane("Yellow"), before)


def test_the_first_source_is_no_label_map(module: Any, ui: Any) -> None:
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    head = add_head("head")
    module.widgetRepresentation().enter()
    assert ui.sourceVolumeSelector.currentNode() is head


def test_a_scene_that_is_loaded_under_another_module_is_not_touched(
    module: Any, widget: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_head("head")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    module.widgetRepresentation().exit()
    monkeypatch.setattr(
        package("Scene.Geometry"), "whyNotTranslatable", lambda volume: pytest.fail("looked at its voxels")
    )
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(path))
    monkeypatch.undo()
    assert widget.logic.getParameterNode().sourceVolume is None
    module.widgetRepresentation().enter()
    assert widget.logic.getParameterNode().sourceVolume.GetName() == "head"


def test_a_result_that_comes_while_another_module_is_shown_is_kept(
    module: Any, widget: Any, ui: Any, head: Any, chosen: Any, tmp_path: Path
) -> None:
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    chosen.sourceVolume = head
    ui.translateButton.click()
    module.widgetRepresentation().exit()
    slicer.util.loadScene(str(path))  # adds to the scene that is there
    host.waitUntil(lambda: not running(), PATIENCE)
    module.widgetRepresentation().enter()
    assert ui.statusLabel.text.startswith("Done in")
    assert widget.panel.parameterNode.resultVolume.GetName() == "head as T1w"


def test_the_cursor_stays_where_the_user_types(ui: Any, checkpoint: Path, chosen: Any) -> None:
    line = ui.checkpointPathLineEdit.findChild(qt.QLineEdit)
    assert line.text == str(checkpoint)
    line.setCursorPosition(3)
    line.insert("x")
    assert line.cursorPosition == 4
    assert chosen.checkpointFile == Path(line.text)


@pytest.mark.parametrize("text", ["", "/somewhere/else.txt"])
def test_a_path_that_is_no_checkpoints_is_no_choice(text: str, ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    ui.checkpointPathLineEdit.currentPath = text
    assert chosen.checkpointFile == Path()
    assert not ui.translateButton.enabled
    chosen.seed = 1  # shows the parameters anew
    assert ui.checkpointPathLineEdit.currentPath == text


def test_a_checkpoint_that_comes_into_the_users_folder_is_listed(
    module: Any, ui: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = user_checkpoint_folder()
    folder.mkdir(parents=True)
    (folder / "first.safetensors").write_bytes(checkpoint.read_bytes())
    module.widgetRepresentation().enter()
    assert ui.checkpointComboBox.findData("first") >= 0
    (folder / "second.safetensors").write_bytes(checkpoint.read_bytes())
    host.waitUntil(lambda: ui.checkpointComboBox.findData("second") >= 0, PATIENCE)


def test_deleting_the_chosen_output_does_not_make_the_source_one(ui: Any, head: Any, chosen: Any) -> None:
    chosen.sourceVolume = head
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "output")
    ui.outputVolumeSelector.setCurrentNode(output)
    ui.outputVolumeSelector.removeCurrentNode()
    assert chosen.outputVolume is None
    assert ui.outputVolumeSelector.currentNode() is None
    assert ui.translateButton.enabled


def test_an_error_without_details_opens_no_wide_dialog(widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **options: shown.append(options))
    errors = package("Base.Errors")
    widget.panel.run.showError(errors.TranslationError("a sentence"))
    widget.panel.run.showError(errors.TranslationError("a sentence", "the log"))
    assert shown == [{}, {"detailedText": "the log"}]


def test_closing_scenes_does_not_pile_up_wrappers(widget: Any) -> None:
    first = widget.panel.parameterNode
    slicer.mrmlScene.Clear(0)
    slicer.mrmlScene.Clear(0)
    assert widget.panel.parameterNode is first
    assert first.parameterNode.GetScene() is slicer.mrmlScene


def test_a_choice_of_a_newer_version_in_a_scene_becomes_the_default(module: Any, widget: Any) -> None:
    node = widget.panel.parameterNode.parameterNode
    module.widgetRepresentation().exit()
    slicer.mrmlScene.Clear(0)
    node.SetParameter("quality", "BEST_OF_ALL")
    module.widgetRepresentation().enter()
    if borrowed.isWanted():
        host.slotErrors().clear()  # Slicer's wrapper itself complains of what it cannot read
    assert widget.panel.parameterNode.quality is package("Base.Presets").Quality.BALANCED


def test_a_folder_that_a_dying_process_still_fills_is_removed(tmp_path: Path, module: Any) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    script = "import pathlib, time\nfor n in range(300):\n pathlib.Path('run', str(n)).touch()\n time.sleep(0.001)"
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stderr=subprocess.DEVNULL):
        host.waitUntil(lambda: any(folder.iterdir()), PATIENCE)
        package("Base.RunFolder").removeFolder(folder)
    assert not folder.exists()
