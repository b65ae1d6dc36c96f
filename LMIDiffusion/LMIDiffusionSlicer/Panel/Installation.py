"""Installation of missing packages when they are first needed, after one question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import slicer
from slicer.i18n import tr as _

from ..Base import Dependencies
from ..Base.Errors import TranslationError
from ..Worker.PackageInstaller import installPackages


class Installation:
    """
    :param showMessage: shows the user a sentence.
    :param log: is given each line of pip's output.
    :param endWorker: ends the process that has the packages in use, whose files could not be replaced on Windows.
    """

    def __init__(
        self, showMessage: Callable[[str], None], log: Callable[[str], None], *, endWorker: Callable[[], None]
    ):
        self.isActive = False
        self._endWorker = endWorker
        self._showMessage = showMessage
        self._log = log

    def ensure(self, *, optional: Sequence[str] = (), onChanged: Callable[[], None]) -> bool:
        """Install missing packages if the user agrees, and tell whether all are there.

        :param optional: requirements besides those of every translation.
        :param onChanged: called when `isActive` has changed.
        :raises TranslationError: they cannot be installed.
        """
        missing = Dependencies.missingPackages(optional=optional)
        if not missing:
            return True
        obstacle = Dependencies.whyNotInstallable(missing)
        if obstacle is not None:
            raise TranslationError(obstacle)
        if Dependencies.needsTorch(missing) and not Dependencies.hasTorchExtension():
            self._offerTorchExtension()
            return False
        if not self._confirm(_question(missing)):
            self._showMessage(_("Nothing was installed; the translation needs these packages."))
            return False
        self._install(missing, onChanged)
        return self._isUsable(missing)

    def _offerTorchExtension(self) -> None:
        if not self._confirm(
            _(
                "LMIDiffusion needs PyTorch. The extension PyTorch chooses the build that fits this computer. Install"
                " the extension and restart Slicer now? Save your work first; after the restart, press Translate again."
            )
        ):
            self._showMessage(_("Nothing was installed; the translation needs the extension PyTorch."))
            return
        Dependencies.installTorchExtension()
        self._showMessage(_("The extension PyTorch is installed. Restart Slicer and press Translate again."))
        slicer.util.restart()

    def _install(self, missing: list[Dependencies.Package], onChanged: Callable[[], None]) -> None:
        self._showMessage(_("Installing Python packages, which can take minutes; the log shows how far it is..."))
        self.isActive = True
        try:
            onChanged()
            self._endWorker()
            installPackages(missing, self._log)
        finally:
            self.isActive = False

    def _isUsable(self, installed: list[Dependencies.Package]) -> bool:
        """Tell whether Slicer can go on: not with a package that was replaced while it was in use."""
        stale = ", ".join(package.name for package in Dependencies.inUse(installed))
        if stale:
            self._showMessage(_("Restart Slicer: {packages} were in use while replaced.").format(packages=stale))
        return not stale

    def _confirm(self, question: str) -> bool:
        """Ask the user; in testing mode nobody is there to answer."""
        return not slicer.app.testingEnabled() and slicer.util.confirmOkCancelDisplay(
            question, windowTitle=_("LMIDiffusion")
        )


def _question(missing: list[Dependencies.Package]) -> str:
    question = _("LMIDiffusion needs Python packages that are not installed yet: {packages}. Install them now?").format(
        packages=Dependencies.describe(missing)
    )
    if any(package.present for package in missing):
        question += " " + _("Other extensions may need what is replaced; Slicer may have to be restarted.")
    return question
