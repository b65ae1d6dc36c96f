"""The application object: what a module asks of it, and what it must not answer."""

import os
import time
from typing import Any

import borrowed
import ctk
import host
import pytest
import qt
import slicer


@pytest.mark.parametrize(
    "ask",
    [
        lambda: slicer.app.documentationBaseUrl,
        lambda: slicer.modules.dicom,
        lambda: slicer.qMRMLPlotView,
        lambda: slicer.util.nonsense,
        lambda: ctk.ctkFontButton,
        lambda: qt.QRegExp,
        lambda: slicer.packaging.nonsense,
    ],
)
def test_unknown_parts_of_slicer_raise_attribute_error(ask: Any) -> None:
    with pytest.raises(AttributeError):
        ask()


def test_unknown_attributes_cannot_be_written() -> None:
    for owner in (slicer.app, slicer.app.moduleManager()):
        with pytest.raises(AttributeError, match="nonsense"):
            owner.nonsense = 1


@pytest.mark.skipif(borrowed.isWanted(), reason="this is a test of the stand-in")
def test_nothing_is_installed_unless_a_test_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotImplementedError, match="installs nothing"):
        slicer.util.pip_install("torch")
    asked: list[str] = []
    monkeypatch.setattr(slicer.packaging, "pip_install", asked.append, raising=False)
    slicer.util.pip_install("torch")
    assert asked == ["torch"]


def test_the_temporary_folder_exists_and_can_be_changed(tmp_path: Any) -> None:
    before = slicer.app.temporaryPath
    assert os.path.isdir(before)
    slicer.app.temporaryPath = str(tmp_path)
    try:
        assert slicer.util.tempDirectory().startswith(str(tmp_path))
    finally:
        slicer.app.temporaryPath = before


def test_settings_are_kept_apart_from_those_of_the_person_who_runs_the_tests() -> None:
    slicer.app.userSettings().setValue("LMIDiffusion/answer", 42)
    assert slicer.util.settingsValue("LMIDiffusion/answer", 0, converter=int) == 42
    assert slicer.app.slicerUserSettingsFilePath.startswith(slicer.app.slicerHome)


def test_a_child_process_gets_the_environment() -> None:
    assert slicer.util.startupEnvironment()["PATH"] == os.environ["PATH"]


def test_messages_do_not_show_while_testing_and_need_an_answer_otherwise() -> None:
    slicer.util.errorDisplay("nobody sees this")
    host.setTesting(False)
    with pytest.raises(NotImplementedError, match="Really"):
        slicer.util.confirmOkCancelDisplay("Really?", mainWindowNeeded=False)
    seen: list[str] = []
    host.answerNext(lambda box: seen.append(box.text) or qt.QMessageBox.Ok)
    assert slicer.util.confirmOkCancelDisplay("Really?") is True
    assert seen == ["Really?"]


def test_static_dialogs_need_an_answer() -> None:
    with pytest.raises(NotImplementedError, match="getOpenFileName"):
        qt.QFileDialog.getOpenFileName(None, "title")
    host.answerNext("/a/b")
    assert qt.QFileDialog.getOpenFileName(None, "title") == "/a/b"


def test_waiting_runs_the_event_loop_and_gives_up_in_time() -> None:
    fired: list[int] = []
    qt.QTimer.singleShot(20, lambda: fired.append(1))
    host.waitUntil(lambda: fired, 5)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        host.waitUntil(lambda: False, 0.1)
    assert time.monotonic() - start < 2


def test_an_exception_in_an_observer_or_a_timer_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    tag = slicer.mrmlScene.AddObserver(slicer.mrmlScene.NodeAddedEvent, lambda caller, event: {}["observer"])
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    slicer.mrmlScene.RemoveObserver(tag)
    qt.QTimer.singleShot(0, lambda: {}["timer"])
    host.processEvents(0.05)
    assert {str(error) for _, error, _ in host.slotErrors()} == {"'observer'", "'timer'"}
    assert "KeyError" in capsys.readouterr().err
    host.slotErrors().clear()


def test_render_pauses_are_counted() -> None:
    with slicer.util.RenderBlocker():
        assert slicer.app.isRenderPaused()
    assert not slicer.app.isRenderPaused()
    with pytest.raises(RuntimeError, match="more often"):
        slicer.app.resumeRender()


def test_there_is_no_main_window() -> None:
    assert slicer.util.mainWindow() is None


def test_constants_of_python_survive_many_calls_of_qt() -> None:
    label = qt.QLabel()
    before = [_references(each) for each in (None, True, False)]
    for _ in range(10_000):
        label.setEnabled(True)
        label.isWidgetType()
        label.isModal()
    assert all(after > 1 << 30 or after > start - 5000 for start, after in zip(before, _counts(), strict=True))


def _counts() -> list[int]:
    return [_references(each) for each in (None, True, False)]


def _references(value: Any) -> int:
    import sys

    return sys.getrefcount(value)


@pytest.fixture
def extensions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Downloads and restarts; questions are asked."""
    done: list[str] = []
    model = type(slicer.app.extensionsManagerModel())
    monkeypatch.setattr(model, "download", lambda self, name: bool(done.append(name)) or True)
    monkeypatch.setattr(type(slicer.app), "restart", lambda self: done.append("restart"))
    host.setTesting(False)
    yield done
    host.setTesting(True)
    slicer.app.extensionsManagerModel()._installed.clear()


def test_installing_an_extension_asks_before_and_after(extensions: list[str]) -> None:
    model = slicer.app.extensionsManagerModel()
    host.answerNext(qt.QMessageBox.No)
    assert not model.installExtensionFromServer("One")
    assert extensions == []
    host.answerNext(qt.QMessageBox.Yes)
    host.answerNext(qt.QMessageBox.Yes)
    assert model.installExtensionFromServer("One")
    assert extensions == ["One", "restart"]
    assert model.isExtensionInstalled("One")
    model.interactive = False
    assert model.installExtensionFromServer("Two", False)
    model.interactive = True
    assert extensions == ["One", "restart", "Two"]
