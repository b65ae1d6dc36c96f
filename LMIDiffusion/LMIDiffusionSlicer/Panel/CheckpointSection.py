"""The panel's list of models, the path of one that is not in it, downloads, and the description of the chosen one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from LMIDiffusionLib.interface.checkpoint_header import CheckpointHeader, Offer, read_offer
from LMIDiffusionLib.interface.resources import DEFAULT_CHECKPOINT, known_checkpoints, user_checkpoint_folder

from ..Base.Checkpoints import describe, labelOf, readSummary, resolveCheckpoint
from ..Base.Errors import TranslationError
from ..Worker.Download import Download, fileOf
from .DownloadsDialog import DownloadsDialog


class CheckpointSection:
    """
    :param showMessage: shows the user a sentence.
    """

    def __init__(self, ui, showMessage: Callable[[str], None]):
        self._ui = ui
        self._showMessage = showMessage
        self._parameterNode = None
        self._isPathValid = True
        self._isKeepingPath = False
        self._download: Download | None = None
        self._watcher = qt.QFileSystemWatcher(ui.checkpointComboBox)
        self._watcher.connect("directoryChanged(QString)", lambda folder: self.refresh())
        ui.checkpointComboBox.connect("activated(int)", self._onChosen)
        # Not by its name in the parameter node, which writes an empty path as a dot.
        ui.checkpointPathLineEdit.connect("currentPathChanged(QString)", self._onPathChanged)
        ui.checkpointPathLineEdit.connect("validInputChanged(bool)", self._onPathIsValid)
        ui.checkpointManageButton.connect("clicked()", self._onManage)
        ui.checkpointDownloadButton.connect("clicked()", self._onDownload)

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._fillList()
            self._replaceMissing()

    def stop(self) -> None:
        if self._download is not None:
            self._download.cancel()

    def refresh(self) -> None:
        """List the checkpoints that are there now, and those that come into the user's folder from now on."""
        folder = user_checkpoint_folder()
        if folder.is_dir() and str(folder) not in self._watcher.directories():
            self._watcher.addPath(str(folder))
        if self._parameterNode is not None:
            self._fillList()
            self.update()

    def chosen(self) -> str:
        """Name or path of the chosen checkpoint; empty for the default."""
        if self._parameterNode.useCheckpointFile:
            return str(self._parameterNode.checkpointFile)
        return self._parameterNode.checkpoint

    def summary(self) -> CheckpointHeader:
        """Read the description in the chosen checkpoint.

        :raises TranslationError: there is no such checkpoint, or it is damaged.
        """
        return readSummary(resolveCheckpoint(self.chosen()))

    def update(self) -> None:
        """Show the choice that the parameter node holds."""
        combo, isFile = self._ui.checkpointComboBox, self._parameterNode.useCheckpointFile
        name = "" if isFile else self._parameterNode.checkpoint or DEFAULT_CHECKPOINT
        combo.setCurrentIndex(combo.findData(name))
        for widget in (self._ui.checkpointPathLabel, self._ui.checkpointPathLineEdit):
            widget.setVisible(isFile)
        self._showPath(self._parameterNode.checkpointFile)
        self._showDescription()
        self._ui.checkpointDownloadButton.setVisible(self._offer() is not None)
        self._ui.checkpointDownloadButton.setEnabled(self._download is None)

    def _showPath(self, path: Path) -> None:
        edit = self._ui.checkpointPathLineEdit
        # Writing what is there already would move the cursor; a text that is no path yet is left to the user.
        isEmpty = path == Path()
        if Path(edit.currentPath) != path and not (isEmpty and not self._isPathValid):
            edit.currentPath = "" if isEmpty else str(path)

    def _showDescription(self) -> None:
        """Show the description as a tool tip, or else the problem at once."""
        try:
            description, problem = describe(self.summary()), ""
        except TranslationError as error:
            description = problem = str(error)
        self._ui.checkpointComboBox.toolTip = description
        self._ui.checkpointProblemLabel.text = problem
        self._ui.checkpointProblemLabel.setVisible(bool(problem))

    def _fillList(self) -> None:
        combo = self._ui.checkpointComboBox
        combo.clear()
        for name, path in known_checkpoints().items():
            combo.addItem(labelOf(name, path), name)
            combo.setItemData(combo.count - 1, name, qt.Qt.ToolTipRole)
        combo.addItem(_("Another file"), "")

    def _replaceMissing(self) -> None:
        """Choose the default where a scene from another computer names a checkpoint that is not here."""
        node, found = self._parameterNode, known_checkpoints()
        isMissing = not node.checkpointFile.is_file() if node.useCheckpointFile else node.checkpoint not in {"", *found}
        if isMissing:
            self._showMessage(
                _("The checkpoint {name} is not on this computer; the default one is chosen.").format(
                    name=self.chosen()
                )
            )
            node.useCheckpointFile = False
            node.checkpoint = ""

    def _onChosen(self, index: int) -> None:
        name = self._ui.checkpointComboBox.itemData(index)
        self._parameterNode.useCheckpointFile = not name
        if name:
            self._parameterNode.checkpoint = name

    def keepPath(self) -> None:
        """Offer the chosen file again in later sessions. CTK tells of other paths and none while it sorts its list."""
        if self._parameterNode is not None and self._parameterNode.useCheckpointFile:
            self._isKeepingPath = True
            self._ui.checkpointPathLineEdit.addCurrentPathToHistory()
            self._isKeepingPath = False

    def _onPathChanged(self, path: str) -> None:
        # CTK tells of a path as it is written, pathlib writes it in its own way: compare paths, not texts.
        isNew = self._parameterNode is not None and Path(path) != self._parameterNode.checkpointFile
        if isNew and not self._isKeepingPath:
            self._parameterNode.checkpointFile = Path(path)

    def _onPathIsValid(self, isValid: bool) -> None:
        """Reject a text that cannot be a checkpoint, of which this signal alone tells."""
        self._isPathValid = isValid
        if not isValid and self._parameterNode is not None and not self._isKeepingPath:
            self._parameterNode.checkpointFile = Path()

    def _onManage(self) -> None:
        DownloadsDialog(self._ui.checkpointManageButton).show()
        self.refresh()
        if self._parameterNode is not None:
            self._replaceMissing()

    def _offer(self) -> Offer | None:
        try:
            return read_offer(resolveCheckpoint(self.chosen()))
        except TranslationError:
            return None

    def _onDownload(self) -> None:
        offer = self._offer()
        if offer is not None and self._download is None and _mayBeWritten(fileOf(offer)):
            self._download = Download(
                offer,
                onProgress=lambda share: self._showMessage(_("Downloading: {share}").format(share=share)),
                onFinished=self._onDownloaded,
                onError=self._onNotDownloaded,
            )
            self.update()

    def _onDownloaded(self, path: Path) -> None:
        self._download = None
        self._showMessage(_("The checkpoint {name} is in your folder, and chosen.").format(name=path.stem))
        if self._parameterNode is not None:
            self._parameterNode.useCheckpointFile = False
            self._parameterNode.checkpoint = path.stem
        self.refresh()

    def _onNotDownloaded(self, error: TranslationError) -> None:
        self._download = None
        self._showMessage(str(error))
        if self._parameterNode is not None:
            self.update()


def _mayBeWritten(path: Path) -> bool:
    """Ask before a file is replaced; in testing mode nobody is there to answer."""
    question = _("{name} is in your folder already. Replace it?").format(name=path.name)
    return not path.exists() or (
        not slicer.app.testingEnabled() and slicer.util.confirmOkCancelDisplay(question, windowTitle=_("LMIDiffusion"))
    )
