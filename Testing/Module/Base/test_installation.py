"""Packages and the PyTorch extension: what is asked, what is installed by whom, and what comes of each answer."""

import subprocess
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
def torch_extension(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The PyTorch extension's module, which is asked for a build and cannot find one."""
    asked: list[dict[str, Any]] = []

    class PyTorchUtilsLogic:
        def installTorch(self, **options: Any) -> None:
            asked.append(options)
            raise ValueError("no build for driver 1.0")

    module = ModuleType("PyTorchUtils")
    module.__spec__ = ModuleSpec("PyTorchUtils", None)
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return asked


def _answer(button: int) -> list[str]:
    """Answer the next question; returns where its text will stand."""
    questions: list[str] = []
    host.answerNext(lambda box: questions.append(box.text) or button)
    return questions


def test_without_pytorch_its_extension_is_offered_and_nothing_is_installed_by_pip(
    ui: Any, torch_is_missing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []
    model = type(slicer.app.extensionsManagerModel())
    monkeypatch.setattr(model, "installExtensionFromServer", lambda self, name: bool(installed.append(name)) or True)
    questions = _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert len(questions) == 1
    assert "extension PyTorch" in questions[0] and "restart" in questions[0]
    assert installed == ["PyTorch"]
    assert "Restart Slicer" in ui.statusLabel.text
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
    monkeypatch.setattr(model, "installExtensionFromServer", lambda self, name: False)
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
    ui: Any, torch_is_missing: None, torch_extension: list[dict[str, Any]]
) -> None:
    version = package("Base.Dependencies")._installed("torch")
    questions = _answer(qt.QMessageBox.Cancel)
    ui.translateButton.click()
    assert f"torch>=999 (in place of {version})" in questions[0]
    assert "GB" in questions[0] or "MB" in questions[0]
    assert torch_extension == []
    assert "Nothing was installed" in ui.statusLabel.text


def test_whatever_an_installation_raises_ends_in_a_sentence(
    ui: Any, torch_is_missing: None, torch_extension: list[dict[str, Any]]
) -> None:
    _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert torch_extension == [{"askConfirmation": False, "torchVersionRequirement": ">=999"}]
    assert "could not be installed (no build for driver 1.0)" in ui.statusLabel.text
    assert ui.translateButton.enabled


def _pip(arguments: list[str]) -> Callable[..., None]:
    """slicer.packaging.pip_install as it is when it does not block: pip itself, cut off from any index."""

    def pip_install(requirements: list[str], **options: Any) -> None:
        assert (options["blocking"], options["show_progress"]) == (False, False)
        command = [sys.executable, "-m", "pip", "install", "--no-index", *arguments, *requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

        def tell() -> None:
            for line in (done.stdout + done.stderr).splitlines():
                options["logCallback"](line)
            options["completedCallback"](done.returncode)

        qt.QTimer.singleShot(10, tell)

    return pip_install


@pytest.fixture
def tqdm_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package("Base.Dependencies"), "_requirementsFile", lambda: ["tqdm>=999"])


def test_pips_output_is_in_the_log_and_its_failure_in_a_sentence(
    ui: Any, tqdm_is_missing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicer.packaging, "pip_install", _pip([]), raising=False)
    _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert "No matching distribution found for tqdm>=999" in ui.logTextEdit.toPlainText()
    assert "could not be installed (pip ended with code 1" in ui.statusLabel.text
    assert ui.translateButton.enabled


def test_while_packages_are_installed_no_button_starts_anything(
    ui: Any, tqdm_is_missing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled: list[bool] = []

    def pip_install(requirements: list[str], **options: Any) -> None:
        enabled.extend((ui.translateButton.enabled, ui.previewButton.enabled))
        options["completedCallback"](1)

    monkeypatch.setattr(slicer.packaging, "pip_install", pip_install, raising=False)
    _answer(qt.QMessageBox.Ok)
    ui.translateButton.click()
    assert enabled == [False, False]


def test_a_package_that_was_in_use_asks_for_a_restart(
    ui: Any, tqdm_is_missing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", ModuleType("tqdm"))

    def pip_install(requirements: list[str], **options: Any) -> None:
        monkeypatch.setattr(package("Base.Dependencies"), "_installed", lambda requirement: "999")
        options["completedCallback"](0)

    monkeypatch.setattr(slicer.packaging, "pip_install", pip_install, raising=False)
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
