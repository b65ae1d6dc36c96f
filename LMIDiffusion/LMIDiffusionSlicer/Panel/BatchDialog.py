"""The dialog that chooses several volumes of the scene."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from ..Scene.Results import SOURCE_ROLE


class BatchDialog:
    """
    :param problemOf: returns why a volume cannot be translated, or None.
    """

    def __init__(self, parent, problemOf: Callable[[slicer.vtkMRMLScalarVolumeNode], str | None]):
        self._volumes = [
            volume for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if _isSource(volume)
        ]
        self._dialog = qt.QDialog(parent)
        self._dialog.windowTitle = _("Translate several")
        self._list = qt.QListWidget()
        self._list.objectName = "volumesList"
        self._list.toolTip = _("Each checked volume is translated with the settings of the panel, into new outputs.")
        for volume in self._volumes:
            self._list.addItem(_item(volume, problemOf(volume)))
        buttons = qt.QDialogButtonBox()
        # Not as an argument: PythonQt would take the flags for an orientation.
        buttons.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        buttons.button(qt.QDialogButtonBox.Ok).text = _("Translate")
        buttons.connect("accepted()", self._dialog.accept)
        buttons.connect("rejected()", self._dialog.reject)
        self._selectAll = qt.QCheckBox(_("Select all"))
        self._selectAll.connect("toggled(bool)", self._onSelectAll)
        layout = qt.QVBoxLayout(self._dialog)
        layout.addWidget(qt.QLabel(_("Volumes to translate, one after the other:")))
        layout.addWidget(self._selectAll)
        layout.addWidget(self._list)
        layout.addWidget(buttons)

    def choose(self) -> list:
        """Show the dialog and return the checked volumes; none if the user cancels."""
        isAccepted = self._dialog.exec() == qt.QDialog.Accepted
        checked = [self._list.item(row).checkState() == qt.Qt.Checked for row in range(self._list.count)]
        self._dialog.deleteLater()
        return [volume for volume, isIn in zip(self._volumes, checked, strict=True) if isIn and isAccepted]

    def _onSelectAll(self, isOn: bool) -> None:
        for row in range(self._list.count):
            item = self._list.item(row)
            if item.flags() & qt.Qt.ItemIsUserCheckable:
                item.setCheckState(qt.Qt.Checked if isOn else qt.Qt.Unchecked)


def _isSource(volume) -> bool:
    """Tell whether a volume is a plain image and no translation itself."""
    isImage = volume.GetClassName() == "vtkMRMLScalarVolumeNode" and not volume.GetHideFromEditors()
    return isImage and volume.GetNodeReferenceID(SOURCE_ROLE) is None


def _item(volume, problem: str | None):
    item = qt.QListWidgetItem(volume.GetName())
    item.setCheckState(qt.Qt.Unchecked)
    item.setToolTip(problem or "")
    if problem is not None:
        item.setText(_("{name} (cannot be translated)").format(name=volume.GetName()))
        item.setFlags(qt.Qt.NoItemFlags)
    return item
