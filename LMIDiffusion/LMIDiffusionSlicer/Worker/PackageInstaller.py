"""Installation of Python packages by pip in a process of its own, whose output can be shown as it comes."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from .. import LIBRARY_FOLDER
from ..Base import Dependencies
from ..Base.Errors import TranslationError
from ..Base.Paths import pythonCommand, pythonEnvironment
from .WorkerProcess import WorkerProcess

# What the PyTorch extension uses to find the build that fits the graphics driver.
_TORCH_INSTALLER = "light-the-torch>=0.5"
_DETAIL_LINES = 40


def installPackages(packages: list[Dependencies.Package], log: Callable[[str], None]) -> None:
    """Install packages into Slicer's Python. The event loop runs meanwhile; nothing is imported.

    :param log: called with each line of pip's output.
    :raises TranslationError: it failed; Slicer goes on as before.
    """
    for command in _commands(packages):
        _run(command, log)
    importlib.invalidate_caches()
    left = [package for package in packages if not Dependencies.isMet(package.requirement)]
    if left:
        raise TranslationError(
            _("Some Python packages are still missing: {packages}.").format(packages=Dependencies.describe(left))
        )


def _commands(packages: list[Dependencies.Package]) -> list[list[str]]:
    """Return the commands of Python that install the packages, as the PyTorch extension installs PyTorch."""
    commands = []
    if Dependencies.needsTorch(packages):
        commands.append(["pip", "install", _TORCH_INSTALLER])
        commands.append(["light_the_torch", "install", Dependencies.TORCH])
    others = [package.requirement for package in packages if package.requirement != Dependencies.TORCH]
    if others:
        commands.append(["pip", "install", *others])
    return commands


def _run(command: list[str], log: Callable[[str], None]) -> None:
    loop, codes, lines = qt.QEventLoop(), [], deque([""], maxlen=_DETAIL_LINES)

    def onLine(_stream: str, text: str) -> None:
        lines.append(text)
        log(text)

    def onExit(code: int) -> None:
        codes.append(code)
        loop.quit()

    log(" ".join(command))
    try:
        process = WorkerProcess(
            [pythonCommand(), "-m", *command],
            environment=pythonEnvironment(),
            folder=LIBRARY_FOLDER,
            onLine=onLine,
            onExit=onExit,
        )
    except OSError as error:
        raise TranslationError(_("Slicer's Python could not be started."), str(error)) from error
    slicer.app.connect("aboutToQuit()", loop.quit)
    loop.exec()
    slicer.app.disconnect("aboutToQuit()", loop.quit)
    process.terminate()
    if codes != [0]:
        raise TranslationError(
            _(
                "The Python packages could not be installed ({reason}); check the internet connection and the free"
                " space, restart Slicer and try again."
            ).format(reason=_reason(lines)),
            "\n".join(lines),
        )


def _reason(lines: deque[str]) -> str:
    """Return the last line that tells of an error, else the last line; pip's own may be an advertisement of pip."""
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or list(lines))[-1].strip() or _("pip ended")
