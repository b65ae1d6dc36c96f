"""`slicer.packaging` and the model of extensions, which install things in the application. Here nothing ever is.

A test that needs one of these functions replaces it.
"""

from typing import Any

import qt

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
    """No extension is installed, and none can be."""

    def isExtensionInstalled(self, extensionName: str) -> bool:
        return False

    def installExtensionFromServer(self, extensionName: str, restart: bool = True) -> bool:
        raise NotImplementedError(f"The host installs no extension: replace this function in the test: {extensionName}")


def __getattr__(name: str) -> Any:
    if name not in FUNCTIONS:
        raise AttributeError(f"slicer.packaging has no '{name}'")

    def refuse(*arguments: Any, **_options: Any) -> None:
        raise NotImplementedError(
            f"The host installs nothing: replace slicer.packaging.{name} in the test: {arguments}"
        )

    return refuse
