"""Models in the user's checkpoint folder: where they lie, how large they are, and a button that deletes them."""

from __future__ import annotations

from pathlib import Path

import qt
from slicer.i18n import tr as _

from LMIDiffusionLib.interface.checkpoint_header import SUFFIX
from LMIDiffusionLib.interface.resources import user_checkpoint_folder


class DownloadsDialog:
    def __init__(self, parent):
        self._dialog = qt.QDialog(parent)
        self._dialog.windowTitle = _("Manage models")
        self._list = qt.QListWidget()
        self._list.objectName = "checkpointsList"
        self._list.setSelectionMode(qt.QAbstractItemView.ExtendedSelection)
        self._status = qt.QLabel()
        self._status.setWordWrap(True)
        buttons = qt.QDialogButtonBox()
        buttons.setStandardButtons(qt.QDialogButtonBox.Close)
        buttons.connect("rejected()", self._dialog.reject)
        for name, text, slot in (
            ("deleteButton", _("Delete selected"), self._onDelete),
            ("folderButton", _("Open folder"), self._onOpenFolder),
        ):
            button = buttons.addButton(text, qt.QDialogButtonBox.ActionRole)
            button.objectName = name
            button.connect("clicked()", slot)
        layout = qt.QVBoxLayout(self._dialog)
        layout.addWidget(qt.QLabel(_("Your own and downloaded models:")))
        layout.addWidget(self._list)
        layout.addWidget(self._status)
        layout.addWidget(buttons)
        self._fill()

    def show(self) -> None:
        """Show the dialog until the user closes it."""
        self._dialog.exec()
        self._dialog.deleteLater()

    def _fill(self) -> None:
        folder = user_checkpoint_folder()
        self._list.clear()
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            item = qt.QListWidgetItem(
                _("{name} ({size:.0f} MB)").format(name=path.stem, size=path.stat().st_size / 1e6)
            )
            item.setData(qt.Qt.UserRole, str(path))
            self._list.addItem(item)
        self._status.text = _("Folder: {folder}").format(folder=folder)

    def _onDelete(self) -> None:
        problems = [_remove(item.data(qt.Qt.UserRole)) for item in self._list.selectedItems()]
        self._fill()
        if any(problems):
            self._status.text = " ".join(filter(None, problems))

    def _onOpenFolder(self) -> None:
        folder = user_checkpoint_folder()
        folder.mkdir(parents=True, exist_ok=True)
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))


def _remove(path: str) -> str:
    """Return why the file could not be deleted; empty if it was."""
    try:
        Path(path).unlink()
    except OSError as error:
        return _("{file} cannot be deleted ({reason}).").format(file=path, reason=error.strerror)
    return ""
