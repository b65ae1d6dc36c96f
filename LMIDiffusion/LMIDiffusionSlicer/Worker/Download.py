"""Download of a checkpoint in a child process, so that Slicer stays usable."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from LMIDiffusionLib.interface.checkpoint_header import Offer
from LMIDiffusionLib.interface.resources import user_checkpoint_folder

from .. import LIBRARY_FOLDER
from ..Base.Errors import TranslationError
from ..Base.Paths import pythonCommand, pythonEnvironment
from .WorkerProcess import WorkerProcess

_SCRIPT = Path(__file__).with_name("DownloadFile.py")


def fileOf(offer: Offer) -> Path:
    """Return where a download comes to lie."""
    return user_checkpoint_folder() / offer.file_name


class Download:
    """Puts what a checkpoint offers into the user's folder, whole and checked or not at all.

    :param onProgress: called with the share that is there, in words.
    :param onFinished: called with the new file.
    :param onError: called with a `TranslationError`.
    """

    def __init__(
        self,
        offer: Offer,
        *,
        onProgress: Callable[[str], None],
        onFinished: Callable[[Path], None],
        onError: Callable[[TranslationError], None],
    ):
        self._file = fileOf(offer)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._partial = self._file.with_name(f".{self._file.name}-{secrets.token_hex(4)}")
        self._onProgress, self._onFinished, self._onError = onProgress, onFinished, onError
        self._lastLine = ""
        self._worker = WorkerProcess(
            [pythonCommand(), str(_SCRIPT), offer.address, offer.sha256, str(self._file), str(self._partial)],
            environment=pythonEnvironment(),
            folder=LIBRARY_FOLDER,
            onLine=self._onLine,
            onExit=self._onExit,
        )

    def cancel(self) -> None:
        self._worker.terminate()
        self._partial.unlink(missing_ok=True)  # on Windows a process ends without a word

    def _onLine(self, stream: str, text: str) -> None:
        self._lastLine = text
        if stream == "stdout":
            self._onProgress(text)

    def _onExit(self, code: int) -> None:
        if code == 0:
            self._onFinished(self._file)
        else:
            message = _("The checkpoint could not be downloaded: {reason}.").format(reason=self._lastLine.rstrip("."))
            self._onError(TranslationError(message))
