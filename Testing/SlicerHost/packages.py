"""`slicer.packaging` and the model of extensions, which install things in the application. Here nothing ever is.

A test that needs one of these functions replaces it.
"""

from typing import Any

import qt
import slicer

FUNCTIONS = (
    "load_requirements",
    "load_pyproject_dependencies",
    "pip_check",
    "pip_ensure",
    "pip_install",
    "pip_uninstall",
)


@qt.standIn
class ExtensionsManagerModel(qt.QObject):
    """No extension is installed, and none can be but by a test, which replaces `download`.

    It asks what the application asks: whether to install, unless in testing mode or not `interactive`; and after that,
    unless told not to restart, whether to do so.
    """

    interactiveChanged = qt.Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._isInteractive = True
        self._installed: set[str] = set()

    def _setInteractive(self, isInteractive: bool) -> None:
        self._isInteractive = isInteractive

    interactive = qt.Property(bool, lambda self: self._isInteractive, _setInteractive)

    def setInteractive(self, isInteractive: bool) -> None:
        self._isInteractive = isInteractive

    def isExtensionInstalled(self, extensionName: str) -> bool:
        return extensionName in self._installed

    def installExtensionFromServer(self, extensionName: str, restart: bool = True, update: bool = False) -> bool:
        if self.isExtensionInstalled(extensionName):
            return True
        if not self._isConfirmed("Install extension ?", f"Do you want to install '{extensionName}' now?"):
            return False
        if not self.download(extensionName):
            return False
        self._installed.add(extensionName)
        text = f"Extension {extensionName} has been installed from server.Slicer must be restarted."
        isTesting = slicer.app.testingEnabled()
        if restart and not isTesting and self._isConfirmed("Restart slicer ?", f"{text} Do you want to restart now ?"):
            slicer.app.restart()
        return True

    def _isConfirmed(self, title: str, text: str) -> bool:
        if slicer.app.testingEnabled() or not self._isInteractive:
            return True
        return int(qt.QMessageBox.question(None, title, text)) == int(qt.QMessageBox.Yes)

    def download(self, extensionName: str) -> bool:
        """Download an extension; in the application several functions do, with a server."""
        raise NotImplementedError(f"The host installs no extension: replace this function in the test: {extensionName}")


def __getattr__(name: str) -> Any:
    if name not in FUNCTIONS:
        raise AttributeError(f"slicer.packaging has no '{name}'")

    def refuse(*arguments: Any, **_options: Any) -> None:
        raise NotImplementedError(
            f"The host installs nothing: replace slicer.packaging.{name} in the test: {arguments}"
        )

    return refuse
