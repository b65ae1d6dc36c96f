"""Notices: facts about a file or a volume that the user should know, while the work goes on."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ..errors import ScanWarning


class NoticeKind(Enum):
    """The subject of a notice."""

    ORIENTATION = "orientation"
    """The file does not say how its axes lie; a convention was assumed."""
    GAPS = "gaps"
    """Voxels without a finite value count as air."""
    WRAPPED = "wrapped"
    """Numbers that were too large for 16 bits were restored."""
    BACKGROUND = "background"
    """The value of the air is not zero; it was shifted or filled."""
    PLAUSIBILITY = "plausibility"
    """The volume does not look like a scan."""
    MASK = "mask"
    """The mask does not look like one of a brain."""
    FILE_NAME = "file-name"
    """A file was left out, or has another name than the one asked for."""


@dataclass(frozen=True)
class Notice:
    """A sentence about a file or a volume.

    Attributes:
        kind: its subject.
        place: the path or name that the sentence begins with.
        text: the rest of the sentence.
    """

    kind: NoticeKind
    place: str
    text: str

    @property
    def message(self) -> str:
        """The whole sentence."""
        return f"{self.place} {self.text}"

    def at(self, place: object) -> Notice:
        """The same notice under another name of the file."""
        return dataclasses.replace(self, place=str(place))


Notices = tuple[Notice, ...]


def warn(notices: Iterable[Notice]) -> None:
    """Issue a `ScanWarning` for each notice, in the name of the caller of the calling function."""
    for notice in notices:
        warnings.warn(notice.message, ScanWarning, stacklevel=3)
