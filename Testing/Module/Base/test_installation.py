"""Packages and the PyTorch extension: what is asked, what is installed by whom, and what comes of each answer."""

import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import conftest
import host
import pytest
import qt
import slicer
from conftest import package, running
from quick_process import quick_runs


@pytest.fixture(autouse=True)
def chosen(widget: Any, head: Any, checkpoint: Path) -> Iterator[Any]:
    """The parameter node, ready to translate; dialogs show, and wait for the test's answer."""
    node = conftest.choose_fastest(widget, checkpoint)
    node.sourceVolume = head
    host.setTesting(False)
    with quick_runs(widget.logic):
        yield node
    host.setTesting(True)


@pytest.fixture
def torch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package("Base.Dependencies"), "TORCH", "torch>=999")


@pytest.fixture
def torch_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    """The PyTorch extension is loaded."""
    module = ModuleType("PyTorchUtils")
    module.__spec__ = ModuleSpec("PyTorchUtils", None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Downloads from the server of extensions, and restarts."""
    done: list[str] = []
    model = type(slicer.app.extensionsManagerModel())
    monkeypatch.setattr(model, "download", lambda self, name: bool(done.append(name)) or True)
    monkeypatch.setattr(type(slicer.app), "restart", lambda self: done.append("restart"))
    yield done
    slicer.app.extensionsManagerModel()._installed.clear()


def _answer(button: int) -> list[str]:
    """Answer the next question; returns where its text will stand."""
    questions: list[str] = []
    host.answerNext(lambda box: questions.append(box.text) or button)
    return questions


def test_without_pytorch_one_question_leads_to_its_extension_and_a_restart(
    ui: Any, torch_is_missing: None, store: list[str]
) -> None:
    questions = _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert len(questions) == 1
    assert "extension PyTorch" in questions[0] and "restart" in questions[0]
    assert store == ["PyTorch", "restart"]
    assert "Restart Slicer" in ui.statusLabel.text
    assert slicer.app.extensionsManagerModel().interactive, "the Extensions Manager asks again as before"
    assert not running()


def test_a_declined_extension_leaves_the_panel_usable(
    ui: Any, chosen: Any, torch_is_missing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(qt.QMessageBox.Cancel)
    ui.translateButton.click()
    assert "Nothing was installed" in ui.statusLabel.text
    monkeypatch.setattr(package("Base.Dependencies"), "TORCH", "torch")
    ui.translateButton.click()
    host.waitUntil(lambda: not running(), conftest.PATIENCE)
    assert chosen.resultVolume is not None


def test_an_extension_that_cannot_be_had_is_reported(
    ui: Any, torch_is_missing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = type(slicer.app.extensionsManagerModel())
    monkeypatch.setattr(model, "download", lambda self, name: False)
    _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert "Extensions Manager" in ui.statusLabel.text
    assert ui.translateButton.enabled


def test_an_extension_that_is_there_but_not_loaded_asks_for_a_restart(
    ui: Any, torch_is_missing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(slicer.app.extensionsManagerModel()), "isExtensionInstalled", lambda self, name: True)
    ui.translateButton.click()
    assert "restart Slicer" in ui.statusLabel.text


def test_on_an_intel_mac_the_reason_comes_before_a_question_or_a_download(
    ui: Any, torch_is_missing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package("Base.Dependencies").platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "darwin")
    ui.translateButton.click()
    monkeypatch.undo()
    assert "Macs with Intel" in ui.statusLabel.text
    assert "internet" not in ui.statusLabel.text


def test_an_older_pytorch_is_replaced_by_its_extension_and_only_after_a_question_that_says_so(
    ui: Any, torch_is_missing: None, torch_extension: None, pip: Any
) -> None:
    version = package("Base.Dependencies")._installed("torch")
    questions = _answer(qt.QMessageBox.Cancel)
    ui.translateButton.click()
    assert f"torch>=999 (in place of {version})" in questions[0]
    assert "GB" in questions[0] or "MB" in questions[0]
    assert pip.commands() == []
    assert "Nothing was installed" in ui.statusLabel.text


class Pip:
    """A PythonSlicer that notes its arguments, and answers as pip does."""

    def __init__(self, launcher: Callable[[str], Path], folder: Path):
        self._launcher, self._notes = launcher, folder / "commands.txt"
        self.answer("exit 0")

    def answer(self, script: str) -> None:
        self._launcher(f'echo "$@" >> "{self._notes}"; {script}')

    def commands(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.is_file() else []


@pytest.fixture
def pip(launcher: Callable[[str], Path], tmp_path: Path) -> Pip:
    return Pip(launcher, tmp_path)


def test_pytorch_is_installed_as_its_extension_does_and_every_line_is_in_the_log(
    ui: Any, torch_is_missing: None, torch_extension: None, pip: Pip
) -> None:
    pip.answer("echo Downloading torch 12%; echo Downloading torch 100%; exit 0")
    _answer(qt.QMessageBox.Ok)
    ui.logCollapsibleButton.collapsed = True
    ui.translateButton.click()
    assert pip.commands() == ["-m pip install light-the-torch>=0.5", "-m light_the_torch install torch>=999"]
    assert "Downloading torch 12%\nDownloading torch 100%" in ui.logTextEdit.toPlainText()
    assert not ui.logCollapsibleButton.collapsed
    assert "still missing: torch>=999" in ui.statusLabel.text
    assert "torch" not in sys.modules


def test_a_failed_installation_ends_in_a_sentence_with_the_reason_and_the_details(
    ui: Any, torch_is_missing: None, torch_extension: None, pip: Pip
) -> None:
    pip.answer("echo 'ERROR: No matching distribution found'; echo '[notice] a new pip'; exit 1")
    _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert len(pip.commands()) == 1, "what follows a failure is not tried"
    assert "could not be installed (ERROR: No matching distribution found)" in ui.statusLabel.text
    assert not ui.detailsButton.isHidden()
    assert ui.translateButton.enabled


def test_a_python_that_cannot_be_started_is_reported(
    ui: Any, tqdm_is_missing: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "PythonSlicer"
    fake.write_bytes(b"\x7fELF no program")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert "could not be started" in ui.statusLabel.text


@pytest.fixture
def tqdm_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package("Base.Dependencies"), "_requirementsFile", lambda: ["tqdm>=999"])


def test_the_real_pip_is_run_and_its_output_is_in_the_log(
    ui: Any, tqdm_is_missing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert "No matching distribution found for tqdm>=999" in ui.logTextEdit.toPlainText()
    assert "could not be installed (ERROR: No matching distribution" in ui.statusLabel.text
    assert ui.translateButton.enabled


def test_while_packages_are_installed_no_button_starts_anything_and_the_worker_is_gone(
    widget: Any, ui: Any, tqdm_is_missing: None, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    enabled: list[bool] = []
    monkeypatch.setattr(widget.panel.run.installation, "_endWorker", lambda: ended.append(True))
    pip.answer("sleep 0.5; exit 1")
    qt.QTimer.singleShot(200, lambda: enabled.extend((ui.translateButton.enabled, ui.previewButton.enabled)))
    _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert enabled == [False, False]
    assert ended == [True]


def test_a_package_that_was_in_use_asks_for_a_restart(
    ui: Any, tqdm_is_missing: None, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", ModuleType("tqdm"))
    dependencies = package("Base.Dependencies")
    installed = dependencies._installed
    monkeypatch.setattr(dependencies, "_installed", lambda name: "999" if pip.commands() else installed(name))
    _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert "Restart Slicer: tqdm" in ui.statusLabel.text
    assert not running()


def test_nothing_is_asked_when_all_packages_are_there(ui: Any, chosen: Any) -> None:
    ui.translateButton.click()
    host.waitUntil(lambda: not running(), conftest.PATIENCE)
    assert chosen.resultVolume is not None


def test_in_testing_mode_nobody_is_asked(widget: Any, ui: Any, torch_is_missing: None) -> None:
    host.setTesting(True)
    ui.translateButton.click()
    assert "Nothing was installed" in ui.statusLabel.text
