"""The panel's part for models: the path edit of CTK, which tells of paths again and again, and the downloads."""

from pathlib import Path
from typing import Any

import conftest
import host
import pytest
import qt
import slicer
from conftest import PATIENCE, running
from quick_process import quick_runs

from LMIDiffusionLib.interface.resources import user_checkpoint_folder


@pytest.fixture(autouse=True)
def chosen(widget: Any, checkpoint: Path, head: Any) -> Any:
    """The parameter node, ready to translate; runs end at once."""
    with quick_runs(widget.logic):
        node = conftest.choose_fastest(widget, checkpoint)
        node.sourceVolume = head
        yield node


@pytest.fixture
def other(checkpoint: Path, tmp_path: Path) -> Path:
    path = tmp_path / "other.safetensors"
    path.write_bytes(checkpoint.read_bytes())
    return path


def _translate(ui: Any) -> None:
    ui.translateButton.click()
    host.waitUntil(lambda: not running(), PATIENCE)
    assert ui.statusLabel.text.startswith("Done in"), ui.statusLabel.text


def test_choosing_files_one_after_the_other_and_again_ends(ui: Any, chosen: Any, checkpoint: Path, other: Path) -> None:
    for path in (checkpoint, other, checkpoint, other):
        ui.checkpointPathLineEdit.currentPath = str(path)
        assert chosen.checkpointFile == path
        _translate(ui)
        assert (ui.checkpointPathLineEdit.currentPath, chosen.checkpointFile) == (str(path), path)
    combo = ui.checkpointPathLineEdit.comboBox()
    assert [combo.itemText(index) for index in range(combo.count)] == [str(other), str(checkpoint)]


def test_a_file_that_was_cleared_can_be_chosen_again(ui: Any, chosen: Any, checkpoint: Path) -> None:
    _translate(ui)
    ui.checkpointPathLineEdit.currentPath = ""
    assert chosen.checkpointFile == Path()
    ui.checkpointPathLineEdit.currentPath = str(checkpoint)
    _translate(ui)
    assert chosen.checkpointFile == checkpoint


def test_the_chosen_file_does_not_change_while_its_path_is_kept(
    ui: Any, chosen: Any, checkpoint: Path, other: Path
) -> None:
    for path in (checkpoint, other, checkpoint):
        ui.checkpointPathLineEdit.currentPath = str(path)
        _translate(ui)
    seen: set[Path] = set()
    node = chosen.parameterNode
    tag = node.AddObserver("ModifiedEvent", lambda caller, event: seen.add(chosen.checkpointFile))
    _translate(ui)
    node.RemoveObserver(tag)
    assert seen <= {checkpoint}


def test_a_path_stays_as_it_is_spelled(ui: Any, chosen: Any, checkpoint: Path) -> None:
    """File dialogs on Windows give slashes, which pathlib turns round."""
    spelled = f"{checkpoint.parent}//./{checkpoint.name}"
    ui.checkpointPathLineEdit.currentPath = spelled
    assert chosen.checkpointFile == checkpoint
    _translate(ui)
    assert ui.checkpointPathLineEdit.currentPath == spelled


def test_a_file_recalled_from_the_settings_is_used_again(widget: Any, ui: Any, checkpoint: Path) -> None:
    _translate(ui)
    slicer.mrmlScene.Clear(0)
    node = widget.panel.parameterNode
    assert node.checkpointFile == checkpoint
    node.sourceVolume = conftest.add_head("next")
    _translate(ui)


def test_the_path_is_shown_for_another_file_alone(ui: Any, chosen: Any) -> None:
    assert not ui.checkpointPathLineEdit.isHidden() and not ui.checkpointPathLabel.isHidden()
    chosen.useCheckpointFile = False
    assert ui.checkpointPathLineEdit.isHidden() and ui.checkpointPathLabel.isHidden()


@pytest.fixture
def downloads(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder with two models."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = user_checkpoint_folder()
    folder.mkdir(parents=True)
    for name in ("first", "second"):
        (folder / f"{name}.safetensors").write_bytes(checkpoint.read_bytes())
    return folder


def test_downloads_can_be_deleted_and_the_default_takes_the_place_of_a_deleted_choice(
    widget: Any, ui: Any, chosen: Any, downloads: Path
) -> None:
    widget.panel._checkpoints.refresh()
    chosen.useCheckpointFile, chosen.checkpoint = False, "second"
    seen: list[str] = []

    def delete_second(dialog: Any) -> None:
        files = dialog.findChild(qt.QListWidget)
        seen.extend(files.item(row).text() for row in range(files.count))
        files.item(1).setSelected(True)
        dialog.findChild(qt.QPushButton, "deleteButton").click()
        dialog.findChild(qt.QDialogButtonBox).button(qt.QDialogButtonBox.Close).click()

    host.answerNext(delete_second)
    ui.checkpointManageButton.click()
    assert [text.partition(" (")[0] for text in seen] == ["first", "second"]
    assert [path.name for path in downloads.iterdir()] == ["first.safetensors"]
    assert ui.checkpointComboBox.findData("second") < 0
    assert chosen.checkpoint == ""
    assert "second" in ui.statusLabel.text


def test_a_download_that_cannot_be_deleted_is_named(ui: Any, downloads: Path) -> None:
    texts: list[str] = []

    def delete_first(dialog: Any) -> None:
        (downloads / "first.safetensors").unlink()
        (downloads / "first.safetensors").mkdir()
        dialog.findChild(qt.QListWidget).item(0).setSelected(True)
        dialog.findChild(qt.QPushButton, "deleteButton").click()
        texts.extend(label.text for label in dialog.findChildren(qt.QLabel))
        dialog.findChild(qt.QDialogButtonBox).button(qt.QDialogButtonBox.Close).click()

    host.answerNext(delete_first)
    ui.checkpointManageButton.click()
    assert any("first.safetensors cannot be deleted" in text for text in texts)
    (downloads / "first.safetensors").rmdir()


def test_the_folder_opens(ui: Any, downloads: Path) -> None:
    opened: list[str] = []

    def open_folder(dialog: Any) -> None:
        host.answerNext(lambda url: opened.append(url.toLocalFile()))
        dialog.findChild(qt.QPushButton, "folderButton").click()
        dialog.findChild(qt.QDialogButtonBox).button(qt.QDialogButtonBox.Close).click()

    host.answerNext(open_folder)
    ui.checkpointManageButton.click()
    assert opened == [str(downloads)]
