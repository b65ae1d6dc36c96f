"""`slicer.packaging`, which installs Python packages in the application. Here nothing is ever installed.

A test that needs one of these functions replaces it.
"""

from typing import Any

FUNCTIONS = (
    "load_requirements",
    "load_pyproject_dependencies",
    "pip_check",
    "pip_ensure",
    "pip_install",
    "pip_uninstall",
)


def __getattr__(name: str) -> Any:
    if name not in FUNCTIONS:
        raise AttributeError(f"slicer.packaging has no '{name}'")

    def refuse(*arguments: Any, **_options: Any) -> None:
        raise NotImplementedError(
            f"The host installs nothing: replace slicer.packaging.{name} in the test: {arguments}"
        )

    return refuse
