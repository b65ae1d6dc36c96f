"""Lines about the scans of a cohort, one as soon as each is done, for log files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class ScanLines:
    """Numbers the scans of one process in the order in which they end.

    Attributes:
        total: number of the scans that this process translates.
        tell: takes each line; a function of a module, because other processes receive it.
        prefix: of each line.
        ended: number of scans that have ended.
    """

    total: int
    tell: Callable[[str], None]
    prefix: str = ""
    ended: int = 0

    def translated(self, name: str, seconds: float) -> None:
        """Tell that a scan has been translated and written."""
        self._tell(f"{name} translated in {seconds:.0f} s")

    def failed(self, name: str, reason: str) -> None:
        """Tell the first line of the reason why a scan has no result."""
        self._tell(f"{name} failed: {next(iter(reason.splitlines()), '')}")

    def _tell(self, text: str) -> None:
        self.ended += 1
        self.tell(f"{self.prefix}{self.ended} of {self.total}: {text}")
