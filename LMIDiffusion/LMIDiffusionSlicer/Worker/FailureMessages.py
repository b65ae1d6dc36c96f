"""The sentence that tells why there is no result."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from slicer.i18n import tr as _

from LMIDiffusionLib.interface import events

_KILLED_IN_SHELL = 128 + 9
_CRASH_ON_WINDOWS = 0xC0000000


def whyFailed(event: events.Error | None, code: int, log: Collection[str]) -> str:
    """Return why a request has no result.

    :param event: the worker's own error, if it has told one.
    :param code: exit code of the worker.
    """
    if event is not None and event.kind is events.ErrorKind.OUT_OF_MEMORY:
        return _(
            "There is too little memory on the device; close other programs, choose a smaller batch size, or"
            " choose another device under Advanced."
        )
    if event is not None:
        return event.message
    if wasKilled(code, log):
        return _("The worker process was ended from outside, perhaps because the computer ran out of memory.")
    if code == 0:
        return _("The worker process ended without a result.")
    last = next(filter(None, map(str.strip, reversed(list(log)))), "")
    return _("The worker process failed: {message}").format(message=last)


def wasKilled(code: int, log: Iterable[str]) -> bool:
    """Tell whether a signal or a crash ended the process; the launcher of Slicer's Python says so in words alone."""
    isBySignal = code < 0 or code == _KILLED_IN_SHELL or code >= _CRASH_ON_WINDOWS
    return isBySignal or any("exit abnormally" in line for line in log)
