"""One run of the worker: what it waits for, what it fills, and what is left of it."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import conftest
import host
import nibabel as nib
import numpy as np
import pytest
import qt
import slicer
from conftest import PATIENCE, head_array, package, start, wait_for_end
from quick_process import quick_runs


@pytest.fixture(autouse=True)
def quick(widget: Any) -> Any:
    """Runs end at once."""
    with quick_runs(widget.logic):
        yield


def test_a_result_waits_until_a_scene_has_been_read(logic: Any, head: Any, fast: Any) -> None:
    heard = start(logic, head, **fast)
    slicer.mrmlScene.StartState(slicer.vtkMRMLScene.BatchProcessState)
    host.processEvents(1.5)
    assert heard.run.isActive and heard.result is None
    slicer.mrmlScene.EndState(slicer.vtkMRMLScene.BatchProcessState)
    assert wait_for_end(heard).result is not None


def test_the_log_says_what_was_asked_for_without_a_folder(logic: Any, head: Any, fast: Any) -> None:
    log = wait_for_end(start(logic, head, **fast)).log
    assert "tiny.safetensors" in log[0] and "source.nii" in log[0]
    assert str(Path(fast["checkpoint"]).parent) not in log[0] and slicer.app.temporaryPath not in log[0]


@pytest.mark.parametrize("end", ["result", "cancel"])
def test_nothing_holds_on_to_a_run_that_has_ended(end: str, logic: Any, head: Any, fast: Any) -> None:
    """Observers of the scene and the application would."""
    heard = start(logic, head, **fast)
    if end == "cancel":
        logic.cancel()
    wait_for_end(heard)
    run = weakref.ref(heard.run)
    del heard
    host.processEvents(0.3)
    gc.collect()
    assert run() is None


def test_quitting_ends_a_translation_that_a_script_waits_for(logic: Any, head: Any, fast: Any) -> None:
    """Qt then ends all event loops, the one that waits among them, before it tells of the application's end."""
    application, errors = qt.QApplication.instance(), []

    def translate() -> None:
        try:
            logic.translate(head, onProgress=lambda progress: progress.stage and application.exit(), **fast)
        except Exception as error:
            errors.append(error)

    qt.QTimer.singleShot(0, translate)
    application.exec()
    assert [type(error).__name__ for error in errors] == ["TranslationCancelled"]
    assert not logic.isRunning


def _left_handed(tmp_path: Path) -> Any:
    """A head whose slices Slicer's reader reverses."""
    affine = np.diag([-2.0, 2, 2, 1])
    path = tmp_path / "head.nii.gz"
    nib.save(nib.Nifti1Image(head_array(landmark=(10, 20, 5)), affine), path)
    return slicer.util.loadVolume(str(path))


def test_the_uncertainty_has_a_node_voxels_and_window_of_its_own(logic: Any, fast: Any, tmp_path: Path) -> None:
    source = _left_handed(tmp_path)
    outputs = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("a", "b")]
    options = {**fast, "samples": 2, "uncertainty": True, "outputVolume": outputs[0], "outputUncertainty": outputs[1]}
    result = wait_for_end(start(logic, source, **options)).result
    assert [result.volume, result.uncertainty] == outputs
    volume, spread = map(slicer.util.arrayFromVolume, outputs)
    np.testing.assert_allclose(spread, volume / 9, atol=1e-6)
    np.testing.assert_allclose(volume, slicer.util.arrayFromVolume(source) / 2500, atol=1e-5)
    display = outputs[1].GetDisplayNode()
    assert display.GetWindowLevelMax() == pytest.approx(spread.max())
    assert display.GetWindowLevelMin() == 0


def test_the_one_sample_fills_the_chosen_node(logic: Any, fast: Any, tmp_path: Path) -> None:
    source = _left_handed(tmp_path)
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    result = wait_for_end(start(logic, source, **{**fast, "draw": True, "outputDraw": mine})).result
    assert result.draw is mine and result.uncertainty is None
    volume, drawn = map(slicer.util.arrayFromVolume, (result.volume, mine))
    np.testing.assert_allclose(drawn, volume / 2, atol=1e-6)
    assert "details are made up" in mine.GetDescription()


def test_results_lie_under_the_transform_of_their_source(logic: Any, head: Any, fast: Any) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    head.SetAndObserveTransformNodeID(transform.GetID())
    result = wait_for_end(start(logic, head, **{**fast, "samples": 2, "uncertainty": True})).result
    for node in (result.volume, result.segmentation, result.uncertainty):
        assert node.GetTransformNodeID() == transform.GetID()


def test_a_mask_on_a_source_under_a_transform_is_written_where_it_lies(head: Any, tmp_path: Path) -> None:
    """Both lie under one transform, so that the mask's voxels are the source's."""
    geometry = package("Scene.Geometry")
    array = (slicer.util.arrayFromVolume(head) > 500).astype(np.uint8)
    mask = slicer.util.addVolumeFromArray(array, geometry.ijkToRas(head), "mask", "vtkMRMLLabelMapVolumeNode")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = [30, -20, 10]
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    for node in (head, mask):
        node.SetAndObserveTransformNodeID(transform.GetID())
    path = tmp_path / "mask.nii"
    geometry.writeMask(mask, head, path)
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), array.transpose(2, 1, 0))


def test_a_chosen_uncertainty_stays_when_none_is_computed(widget: Any, ui: Any, head: Any, fast: Any) -> None:
    node = conftest.choose_fastest(widget, Path(fast["checkpoint"]))
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    node.sourceVolume, node.uncertaintyVolume = head, mine
    ui.translateButton.click()
    host.waitUntil(lambda: not widget.logic.isRunning, PATIENCE)
    assert node.uncertaintyVolume is mine
    node.uncertaintyVolume = None


_CLOSING = """
import sys
sys.path[:0] = [{host!r}, {tests!r}]
import conftest, host, slicer
from pathlib import Path
module = host.loadModule(str(conftest.MODULE_FILE))
module.widgetRepresentation().enter()
panel = module.widget.panel
conftest.add_head("head")
panel.parameterNode.device = "cuda:7"  # asks PyTorch for its devices
panel.parameterNode.useCheckpointFile, panel.parameterNode.checkpointFile = True, Path({offering!r})
module.widget.ui.checkpointDownloadButton.click()
print(len(conftest.workers()))
module.widget.cleanup()
print(len(conftest.workers()))
slicer.mrmlScene.Clear(0)
print(panel.parameterNode, module.widget.ui.sourceVolumeSelector.currentNode())
"""


def test_closing_ends_downloads_and_probes_and_leaves_no_observer(
    launcher: Any, fast: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a host of its own, which cannot be used afterwards."""
    monkeypatch.setenv("HOME", str(tmp_path))
    launcher("while true; do sleep 0.2; done")
    offering = tmp_path / "offering.safetensors"
    offering.write_bytes(conftest.offering(Path(fast["checkpoint"]), "https://localhost/x.safetensors", "0" * 64))
    script = _CLOSING.format(
        host=str(conftest.ROOT / "Testing" / "SlicerHost"),
        tests=str(Path(conftest.__file__).parent),
        offering=str(offering),
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-3:] == ["2", "0", "None None"], done.stderr
