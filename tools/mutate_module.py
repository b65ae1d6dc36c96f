"""`python tools/mutate_module.py [NUMBER ...]`: put faults into the Slicer module, and see whether tests notice them.

Each fault is one replacement in one file. The module's tests of that part run on a copy of the checkout, the likeliest
first; a fault that no test notices survives, and is printed. Those that change no behavior are listed with the reason.
Tests that fail without any fault end the tool. It takes an hour or two, and is no part of `make test`.
"""

import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = "LMIDiffusion/LMIDiffusionSlicer"
_COPIED = (
    *("LMIDiffusion", "LMIDiffusionLib", "Testing", "tools", "pyproject.toml"),
    *("LMIDiffusion.json", "CMakeLists.txt", "LICENSE"),
)
_CHECKPOINT = "tiny.safetensors"
# Large and never changed: loaded once, before the tests run in forks.
_LOADED_ONCE = ("nibabel", "numpy", "PySide6.QtUiTools", "PySide6.QtWidgets", "slicer", "vtk")
_SECONDS = 900


@dataclass(frozen=True)
class Fault:
    """A replacement in a file of the module, and the tests that should notice, as FILE or FILE::EXPRESSION of -k."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    equivalent: str = ""  # the reason why no behavior changes


OUTPUTS, RESULTS, RUN = "Panel/test_outputs.py", "Scene/test_results.py", "Logic/test_run.py"
SHOWN, MODELS, PANEL = "Panel/test_result_section.py", "Panel/test_models.py", "Panel/test_panel.py"
FEATURES, INSTALL, APPLICATION = "Panel/test_features.py", "Base/test_installation.py", "Panel/test_application.py"
FAULTS, GEOMETRY, DICOM = "Logic/test_faults.py", "Scene/test_geometry.py", "Scene/test_dicom_series.py"
WORKERS, BATCH = "Worker/test_workers.py", "Panel/test_batch.py"

# The faults of a reading of the module against Slicer's parts, and as many others.
FAULTS_OF_MODULE = (
    Fault(
        "segmentation without the source's transform",
        "Scene/Results.py",
        "    segmentationNode.SetAndObserveTransformNodeID(source.GetTransformNodeID())\n",
        "",
        (f"{RUN}::transform",),
    ),
    Fault(
        "a deaf worker is not killed",
        "Worker/WorkerProcess.py",
        "(signal.SIGTERM, signal.SIGKILL)",
        "(signal.SIGTERM,)",
        (f"{FAULTS}::polite_signal",),
    ),
    Fault(
        "opacities in steps of a tenth",
        "Scene/ParameterNode.py",
        "SingleStep(0.01)",
        "SingleStep(0.1)",
        (f"{APPLICATION}::hundredth",),
    ),
    Fault(
        "orientation letters swapped",
        "Scene/Geometry.py",
        '("LR", "PA", "IS")',
        '("RL", "PA", "IS")',
        (f"{PANEL}::described",),
    ),
    Fault(
        "one brain mask for all of several",
        "Panel/RunSection.py",
        "self._parameterNode.brainMask if isSource else None",
        "self._parameterNode.brainMask",
        (BATCH,),
    ),
    Fault(
        "translations are offered as sources",
        "Panel/BatchDialog.py",
        "isImage and volume.GetNodeReferenceID(SOURCE_ROLE) is None",
        "isImage",
        (BATCH,),
    ),
    Fault(
        "Show 3D has no segmentation",
        "Panel/ResultSection.py",
        "self._ui.show3DButton.setSegmentationNode(segmentation)",
        "self._ui.show3DButton.setSegmentationNode(None)",
        (SHOWN,),
    ),
    Fault(
        "layout is not given back",
        "Scene/Views.py",
        "            layout.SetViewArrangement(self.arrangement)\n",
        "            pass\n",
        (SHOWN,),
    ),
    Fault("links are not given back", "Scene/Views.py", "composite.SetLinkedControl(linked)", "pass", (SHOWN,)),
    Fault(
        "field of view is not given back",
        "Scene/Views.py",
        "            right.SetFieldOfView(*self.rightFieldOfView)\n",
        "",
        (SHOWN,),
    ),
    Fault(
        "views are always fitted", "Scene/Views.py", "fit=not _isShown(arrangement)", "fit=True", (f"{SHOWN}::fitted",)
    ),
    Fault(
        "swapping forgets the opacity",
        "Scene/Views.py",
        "replace(self, first=self.second, second=self.first)",
        "replace(self, first=self.second, second=self.first, opacity=1.0)",
        (f"{SHOWN}::swapped",),
    ),
    Fault(
        "sequence without the source's transform",
        "Scene/Sequences.py",
        "            node.SetAndObserveTransformNodeID(source.GetTransformNodeID())\n",
        "",
        (f"{OUTPUTS}::beside",),
    ),
    Fault(
        "sequence apart from its source",
        "Scene/Sequences.py",
        "            placeBeside(source, node)\n",
        "",
        (f"{OUTPUTS}::beside",),
    ),
    Fault(
        "uncertainty's selector is cleared",
        "Panel/RunSection.py",
        "        if result.uncertainty is not None:\n            node.uncertaintyVolume",
        "        if True:\n            node.uncertaintyVolume",
        (f"{RUN}::chosen_uncertainty",),
    ),
    Fault(
        "details stay hidden",
        "Panel/RunSection.py",
        "self._ui.detailsButton.setVisible(bool(error.details))",
        "self._ui.detailsButton.setVisible(False)",
        (f"{INSTALL}::details",),
    ),
    Fault(
        "a scene that is being read is not waited for",
        "Logic/TranslationRun.py",
        "if slicer.mrmlScene.IsBatchProcessing():",
        "if False:",
        (f"{RUN}::has_been_read",),
    ),
    Fault(
        "the panel's observers stay",
        "Panel/Panel.py",
        "            section.stop()\n        self.removeObservers()",
        "            section.stop()",
        (f"{RUN}::closing",),
    ),
    Fault(
        "a download goes on after closing",
        "Panel/CheckpointSection.py",
        "            self._download.cancel()",
        "            pass",
        (f"{RUN}::closing",),
    ),
    Fault(
        "a probe goes on after closing",
        "Panel/DeviceSection.py",
        "            self._probe.stop()",
        "            pass",
        (f"{RUN}::closing",),
    ),
    Fault(
        "uncertainty is written over the translation",
        "Scene/ResultLoader.py",
        "request.outputUncertainty, _",
        "request.outputVolume, _",
        (f"{RUN}::uncertainty",),
    ),
    Fault(
        "uncertainty in the file's order of voxels",
        "Scene/ResultLoader.py",
        'return arrayInOrderOf(source, readVolume(path, "vtkMRMLScalarVolumeNode"))',
        'return slicer.util.arrayFromVolume(readVolume(path, "vtkMRMLScalarVolumeNode"))',
        (f"{RUN}::uncertainty",),
    ),
    Fault(
        "uncertainty is shown from 0 to 1",
        "Scene/ResultLoader.py",
        "float(errors.max()) or 1.0",
        "1.0",
        (f"{RUN}::uncertainty",),
    ),
    Fault(
        "mask on a grid of its own",
        "Scene/Geometry.py",
        "labelmap, source, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY",
        "labelmap, None, slicer.vtkSegmentation.EXTENT_UNION_OF_SEGMENTS",
        (f"{RUN}::mask", f"{GEOMETRY}::brain_mask"),
    ),
    Fault(
        "a run's observers stay",
        "Logic/RunGuard.py",
        "                slicer.mrmlScene.RemoveObserver(tag)\n",
        "                pass\n",
        (f"{RUN}::holds_on",),
    ),
    Fault(
        "a sequence's reference is its result",
        "Scene/Sequences.py",
        "placeSegmentation(segmentation, source, self",
        "placeSegmentation(segmentation, volume, self",
        (f"{OUTPUTS}::beside",),
    ),
    Fault(
        "air is shown",
        "Scene/Results.py",
        "display.SetSegmentVisibility(_segmentID(each), each in visible)",
        "display.SetSegmentVisibility(_segmentID(each), True)",
        (f"{OUTPUTS}::beside",),
    ),
    Fault(
        "volumes of the first frame alone",
        "Scene/Sequences.py",
        "for one in frame.classes if",
        "for one in self._frames[0].classes if",
        (f"{OUTPUTS}::table",),
    ),
    Fault(
        "Yellow is not aligned with Red",
        "Scene/Views.py",
        "            _alignRightWithLeft()\n",
        "",
        (f"{SHOWN}::side_by_side",),
    ),
    Fault(
        "a deleted source does not end its run",
        "Logic/RunGuard.py",
        "if any(node.GetScene() is None for node in self._inputs):",
        "if False:",
        (f"{FEATURES}::deleting",),
    ),
    Fault(
        "closing the scene does not end a run",
        "Logic/RunGuard.py",
        "scene.AddObserver(scene.StartCloseEvent, self._onSceneClosing),",
        "",
        (f"{PANEL}::closing_the_scene",),
    ),
    Fault(
        "history is kept at every signal",
        "Panel/CheckpointSection.py",
        "            self._parameterNode.checkpointFile = Path(path)\n",
        "            self._parameterNode.checkpointFile = Path(path)\n"
        "            self._ui.checkpointPathLineEdit.addCurrentPathToHistory()\n",
        (f"{MODELS}::cleared",),
    ),
    Fault(
        "the signals of the history are taken for choices",
        "Panel/CheckpointSection.py",
        "            self._isKeepingPath = True\n",
        "",
        (f"{MODELS}::file",),
    ),
    Fault(
        "paths are compared as texts",
        "Panel/CheckpointSection.py",
        "if Path(edit.currentPath) != path and",
        "if edit.currentPath != str(path) and",
        (f"{MODELS}::spelled",),
    ),
    Fault(
        "buttons given to the button box's constructor",
        "Panel/BatchDialog.py",
        "buttons = qt.QDialogButtonBox()\n",
        "buttons = qt.QDialogButtonBox(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)\n",
        (BATCH,),
    ),
    Fault(
        "segmentation refers to the translation",
        "Scene/Results.py",
        "segmentationNode.SetNodeReferenceID(role, source.GetID())",
        "segmentationNode.SetNodeReferenceID(role, '')",
        (f"{DICOM}::seg",),
    ),
    Fault(
        "library of pip goes first",
        "__init__.py",
        "sys.path[:] = [str(LIBRARY_FOLDER), *(each for each in sys.path if each != str(LIBRARY_FOLDER))]",
        "sys.path.append(str(LIBRARY_FOLDER))",
        ("test_packaging.py::another_copy",),
    ),
    Fault(
        "Slicer asks about the extension again",
        "Base/Dependencies.py",
        "    model.interactive = False\n",
        "",
        (f"{INSTALL}::one_question",),
    ),
    Fault(
        "Slicer never asks again",
        "Base/Dependencies.py",
        "        model.interactive = wasInteractive\n",
        "        pass\n",
        (f"{INSTALL}::one_question",),
    ),
    Fault(
        "no restart after the extension",
        "Panel/Installation.py",
        "        slicer.util.restart()\n",
        "",
        (f"{INSTALL}::one_question",),
    ),
    Fault("pip's output is lost", "Worker/PackageInstaller.py", "        log(text)\n", "", (f"{INSTALL}::log",)),
    Fault(
        "outputs do not follow the source",
        "Panel/OutputSection.py",
        "            self._release()\n",
        "            pass\n",
        (f"{OUTPUTS}::another_source",),
    ),
    Fault(
        "chosen outputs are released too",
        "Panel/OutputSection.py",
        "if isAutomatic(self._parameterNode.getValue(name)):",
        "if True:",
        (f"{OUTPUTS}::user_has_chosen",),
    ),
    Fault(
        "views change under another module",
        "Panel/ResultSection.py",
        "        if self._isShown():\n            self._showInViews()",
        "        self._showInViews()",
        (f"{SHOWN}::another_module",),
    ),
    Fault(
        "segments cover another module's views",
        "Panel/ResultSection.py",
        "SetVisibility(self._isShown())",
        "SetVisibility(True)",
        (f"{SHOWN}::another_module",),
    ),
    Fault(
        "all frames ignore the chosen volume",
        "Scene/Sequences.py",
        "self._show(name, self._request.outputVolume, volumes)",
        "self._show(name, None, volumes)",
        (f"{OUTPUTS}::chosen_outputs",),
    ),
    Fault(
        "frames that are gone stay in the result",
        "Scene/Sequences.py",
        "        for value in set(before) - set(values):\n            sequence.RemoveDataNodeAtValue(value)\n",
        "",
        (f"{OUTPUTS}::frames",),
    ),
    Fault(
        "a preview of another source is overwritten",
        "Panel/RunSection.py",
        "outputVolume=_ofSource(node.previewVolume, node.sourceVolume)",
        "outputVolume=node.previewVolume",
        (f"{OUTPUTS}::preview",),
    ),
    Fault(
        "a run's outputs go to a source chosen meanwhile",
        "Panel/RunSection.py",
        "        if _ofSource(result.volume, node.sourceVolume) is None:\n            return\n",
        "",
        (f"{OUTPUTS}::during_a_run",),
    ),
    Fault(
        "the table counts air",
        "Scene/Results.py",
        "    for each in withoutAir(classes):\n        names",
        "    for each in classes:\n        names",
        (f"{PANEL}::fills_new_outputs",),
    ),
    Fault(
        "copied numbers are rounded",
        "Panel/VolumesTable.py",
        "    rows = [[table.GetCellText(row, column) for",
        "    rows = [[_shortened(table.GetCellText(row, column)) for",
        (f"{SHOWN}::copied",),
    ),
    Fault(
        "the editor gets the source's segmentation alone",
        "Panel/ResultSection.py",
        "        editor.SetAndObserveSourceVolumeNode(self._parameterNode.resultVolume)\n",
        "",
        (f"{SHOWN}::editor",),
    ),
    Fault(
        "the menu is offered for label maps",
        "Panel/LMIDiffusionSubjectHierarchyPlugin.py",
        'node.GetClassName() == "vtkMRMLScalarVolumeNode"',
        'node.IsA("vtkMRMLScalarVolumeNode")',
        (f"{SHOWN}::context_menu",),
    ),
    Fault(
        "DICOM values are truncated to 0 and 1",
        "Scene/DicomSeries.py",
        "np.round(np.clip(pixels, 0, 1) * _HIGHEST)",
        "np.round(np.clip(pixels, 0, 1))",
        (f"{DICOM}::independent",),
    ),
    Fault(
        "DICOM rows and columns swapped",
        "Scene/DicomSeries.py",
        "along * spacingAlong, down * spacingDown",
        "down * spacingDown, along * spacingAlong",
        (f"{DICOM}::independent",),
    ),
    Fault(
        "DICOM series keeps the source's UID",
        "Scene/DicomSeries.py",
        "    image.SeriesInstanceUID = series\n",
        "",
        (f"{DICOM}::keeps_patient",),
    ),
    Fault(
        "half a DICOM series is left",
        "Scene/DicomSeries.py",
        "    if not all(files):",
        "    if not any(files):",
        (f"{DICOM}::failed_export",),
    ),
    Fault(
        "select all checks what cannot be translated",
        "Panel/BatchDialog.py",
        "            if item.flags() & qt.Qt.ItemIsUserCheckable:\n",
        "            if True:\n",
        (f"{BATCH}::select_all",),
    ),
    Fault(
        "deleted downloads stay in the list",
        "Panel/CheckpointSection.py",
        "        DownloadsDialog(self._ui.checkpointManageButton).show()\n        self.refresh()\n",
        "        DownloadsDialog(self._ui.checkpointManageButton).show()\n",
        (f"{MODELS}::deleted",),
    ),
    Fault(
        "the worker of an old environment is used",
        "Worker/WorkerPool.py",
        "return not self.hasEnded and self._circumstances == _circumstances()",
        "return not self.hasEnded",
        (f"{WORKERS}::other_packages",),
    ),
    Fault(
        "a tired worker is used",
        "Worker/WorkerPool.py",
        "if worker is None or not isInTime or not worker.isCurrent:",
        "if worker is None or not worker.isCurrent:",
        (f"{WORKERS}::waited_too_long",),
    ),
    Fault(
        "fluid hides the brain in 3D",
        "Scene/Results.py",
        "        display.SetSegmentOpacity3D(_segmentID(each), _FLUID_OPACITY)\n",
        "        pass\n",
        (f"{RESULTS}::fluid",),
    ),
    Fault(
        "kept settings go before a scene's",
        "Logic/LMIDiffusionLogic.py",
        "if not node.GetAttribute(_IS_SET):",
        "if True:",
        (f"{FEATURES}::kept_ones",),
    ),
    Fault(
        "a run that is waited for goes on after quitting",
        "Logic/TranslationRun.py",
        "            self._loop = None\n            self.cancel()\n",
        "            self._loop = None\n",
        (f"{RUN}::waits_for",),
    ),
)


def main(numbers: list[int]) -> int:
    chosen = [(n, fault) for n, fault in enumerate(FAULTS_OF_MODULE, 1) if not numbers or n in numbers]
    for name in _LOADED_ONCE:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        _copy(folder)
        maker = [sys.executable, str(folder / "Testing/Module/make_checkpoint.py"), str(folder / _CHECKPOINT)]
        subprocess.run(maker, check=True, env={**os.environ, "PYTHONPATH": str(folder)})
        for tests in _byFile(chosen):
            if not _passes(tests, folder):
                raise SystemExit(f"{tests} fails without any fault")
        survivors = [fault for number, fault in chosen if not _isKilled(number, fault, folder)]
    unexplained = [fault for fault in survivors if not fault.equivalent]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} faults were noticed")
    for fault in survivors:
        print(f"survived: {fault.name} ({fault.file}){': ' + fault.equivalent if fault.equivalent else ''}")
    return 1 if unexplained else 0


def _byFile(chosen: list[tuple[int, Fault]]) -> list[str]:
    """Return the likeliest tests of all these faults, those of one file together: a process takes long to start."""
    expressions: dict[str, dict[str, None]] = {}
    for tests in (tests for _, fault in chosen for tests in fault.tests):
        file, _, expression = tests.partition("::")
        expressions.setdefault(file, {})[expression] = None
    return [file if "" in each else f"{file}::{' or '.join(each)}" for file, each in expressions.items()]


def _copy(folder: Path) -> None:
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def _isKilled(number: int, fault: Fault, folder: Path) -> bool:
    file = folder / _PACKAGE / fault.file
    original = file.read_text(encoding="utf-8")
    if original.count(fault.before) != 1:
        raise SystemExit(f"{number}: {fault.file} holds {original.count(fault.before)} times: {fault.before}")
    try:
        file.write_text(original.replace(fault.before, fault.after), encoding="utf-8")
        os.utime(file, (number, number))  # else a fault as long as the line would be taken for the bytecode before
        killer = next((tests for tests in _inOrder(fault.tests) if not _passes(tests, folder)), None)
    finally:
        file.write_text(original, encoding="utf-8")
    print(f"{number:2d} {'noticed by ' + killer if killer else 'SURVIVED'}: {fault.name}", flush=True)
    return killer is not None


def _inOrder(tests: tuple[str, ...]) -> list[str]:
    """Return the likeliest tests first, then all of their files."""
    return [*tests, *dict.fromkeys(each.partition("::")[0] for each in tests if "::" in each)]


def _passes(tests: str, folder: Path) -> bool:
    """Run tests in a fork of this process, and tell whether all pass."""
    child = multiprocessing.get_context("fork").Process(target=_runTests, args=(tests, folder))
    child.start()
    child.join(_SECONDS)
    if child.exitcode is None:  # a fault that makes the tests hang is noticed, as one that makes them crash
        child.kill()
        child.join()
    if child.exitcode > pytest.ExitCode.TESTS_FAILED:
        raise SystemExit(f"pytest {tests}: {_log(folder).read_text(encoding='utf-8')[-3000:]}")
    return child.exitcode == pytest.ExitCode.OK


def _runTests(tests: str, folder: Path) -> None:
    file, _, expression = tests.partition("::")
    log = os.open(_log(folder), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ.update({"PYTHONPATH": str(folder), "LMIDIFFUSION_TEST_CHECKPOINT": str(folder / _CHECKPOINT)})
    command = ["-q", "-x", "-p", "no:cacheprovider", str(folder / "Testing/Module" / file)]
    os._exit(pytest.main([*command, "-k", expression] if expression else command))


def _log(folder: Path) -> Path:
    return folder / "log.txt"


if __name__ == "__main__":
    sys.exit(main([int(each) for each in sys.argv[1:]]))
