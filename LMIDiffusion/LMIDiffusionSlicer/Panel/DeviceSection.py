"""The panel's list of devices, filled by PyTorch when it is first needed."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from ..Base.Presets import AUTOMATIC
from ..Worker.Devices import Device, DeviceProbe, basicDevices


class DeviceSection:
    """
    :param showMessage: shows the user a sentence.
    """

    def __init__(self, ui, showMessage: Callable[[str], None]):
        self._combo = ui.deviceComboBox
        self._showMessage = showMessage
        self._parameterNode = None
        self._probe: DeviceProbe | None = None
        self._fill(basicDevices())
        self._combo.connect("activated(int)", self._onChosen)
        ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self._onAdvancedCollapsed)

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode

    def update(self) -> None:
        """Show the chosen device; one that may be on another computer makes PyTorch be asked."""
        name = self._parameterNode.device
        if self._combo.findData(name) < 0:
            self._combo.addItem(name, name)
            self._ask()
        self._combo.setCurrentIndex(self._combo.findData(name))

    def stop(self) -> None:
        if self._probe is not None:
            self._probe.stop()

    def _onAdvancedCollapsed(self, isCollapsed: bool) -> None:
        if not isCollapsed:
            self._ask()

    def _ask(self) -> None:
        if self._probe is None and DeviceProbe.isPossible():
            self._probe = DeviceProbe(self._onFound)

    def _onFound(self, devices: list[Device]) -> None:
        self._fill(devices)
        if self._parameterNode is None:
            return
        name = self._parameterNode.device
        if self._combo.findData(name) < 0:
            self._showMessage(
                _("The device {name} is not on this computer; the best one here is chosen automatically.").format(
                    name=name
                )
            )
            self._parameterNode.device = AUTOMATIC
        self.update()

    def _fill(self, devices: list[Device]) -> None:
        self._combo.clear()
        for device in devices:
            self._combo.addItem(device.label, device.name)

    def _onChosen(self, index: int) -> None:
        self._parameterNode.device = self._combo.itemData(index)
