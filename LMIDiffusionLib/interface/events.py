"""What a translation tells of itself: events, each of which is one line of JSON between two processes.

The standard library is enough to read and to write them, so that a program without PyTorch can listen.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ..errors import UserError, is_out_of_memory
from .progress import Progress

_LIBRARY = __name__.partition(".")[0]

IDLE_SECONDS = 600.0
"""A process that serves requests ends when it has waited so long for one."""


class Stage(Enum):
    """A part of the work that begins; they follow each other in this order."""

    READING = "reading"
    LOADING = "loading"
    TRANSLATING = "translating"
    SEGMENTING = "segmenting"
    WRITING = "writing"


@dataclass(frozen=True)
class ClassVolume:
    """One class of the segmentation: its label in the file, its name and its volume."""

    label: int
    name: str
    millilitres: float


@dataclass(frozen=True)
class Result:
    """All files are written.

    Attributes:
        output: the translated volume.
        segmentation: the label map, if one was wanted.
        uncertainty: the standard deviation over samples, if it was wanted.
        classes: of the segmentation.
        seconds: that all of it took.
    """

    output: Path
    segmentation: Path | None
    uncertainty: Path | None
    classes: tuple[ClassVolume, ...]
    seconds: float


@dataclass(frozen=True)
class Doubt:
    """Something about a file that the user should know; the work goes on. The message is one sentence."""

    message: str


class ErrorKind(Enum):
    """Why there is no result: each asks for something else of the user."""

    OUT_OF_MEMORY = "out-of-memory"
    BAD_INPUT = "bad-input"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Error:
    """There will be no result. The message is one sentence."""

    kind: ErrorKind
    message: str


@dataclass(frozen=True)
class JobBegun:
    """A process that serves several requests begins with the one of that number."""

    number: int


@dataclass(frozen=True)
class JobEnded:
    """It is done with that one, which had a `Result` or an `Error`.

    Attributes:
        number: of the request.
        holds_gpu: whether the process has used a GPU, some of whose memory stays taken up to its end.
    """

    number: int
    holds_gpu: bool


Event = Stage | Progress | Doubt | Result | Error | JobBegun | JobEnded


def to_line(event: Event) -> str:
    """An event as one line of JSON; `parse` reads it."""
    name = next(name for name, (kind, _) in _READERS.items() if isinstance(event, kind))
    fields = {"stage": event.value} if isinstance(event, Stage) else dataclasses.asdict(event)
    return json.dumps({"event": name, **fields}, default=_plain)


def parse(line: str) -> Event | None:
    """The event on a line, or None where the line is anything else: packages print what they like."""
    try:
        fields = json.loads(line)
        _, read = _READERS[fields["event"]]
        return read(fields)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None


def failure(error: BaseException) -> Error:
    """The event of an exception that ended the work."""
    if is_out_of_memory(error):
        return Error(ErrorKind.OUT_OF_MEMORY, _sentence(error, "The computer has too little memory; free some."))
    if isinstance(error, UserError):
        return Error(ErrorKind.BAD_INPUT, str(error))
    if isinstance(error, KeyboardInterrupt):
        return Error(ErrorKind.CANCELLED, "Interrupted; nothing was written.")
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != _LIBRARY:
        message = f"The package {error.name} is missing; run: pip install 'LMIDiffusionLib[train]'."
        return Error(ErrorKind.BAD_INPUT, message)
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename} cannot be used" if error.filename else "A file cannot be read or written"
        message = f"{place} ({error.strerror}); check its folder, its permissions and the free space."
        return Error(ErrorKind.BAD_INPUT, message)
    first = next(iter(str(error).splitlines()), "")
    return Error(ErrorKind.INTERNAL, f"Something unexpected happened ({type(error).__name__}: {first}); report it.")


def _sentence(error: BaseException, otherwise: str) -> str:
    return str(error) if isinstance(error, UserError) else otherwise


def _plain(value: Any) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)


def _progress(fields: dict[str, Any]) -> Progress:
    return Progress(
        slice=int(fields["slice"]),
        slices=int(fields["slices"]),
        step=int(fields["step"]),
        steps=int(fields["steps"]),
        fraction=min(1.0, max(0.0, float(fields["fraction"]))),
        seconds_left=max(0.0, float(fields["seconds_left"])),
    )


def _result(fields: dict[str, Any]) -> Result:
    classes = [
        ClassVolume(int(each["label"]), str(each["name"]), float(each["millilitres"])) for each in fields["classes"]
    ]
    return Result(
        output=Path(fields["output"]),
        segmentation=_path(fields["segmentation"]),
        uncertainty=_path(fields["uncertainty"]),
        classes=tuple(classes),
        seconds=float(fields["seconds"]),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


_READERS: dict[str, tuple[type[Event], Callable[[dict[str, Any]], Event]]] = {
    "stage": (Stage, lambda fields: Stage(fields["stage"])),
    "progress": (Progress, _progress),
    "doubt": (Doubt, lambda fields: Doubt(str(fields["message"]))),
    "result": (Result, _result),
    "error": (Error, lambda fields: Error(ErrorKind(fields["kind"]), str(fields["message"]))),
    "begun": (JobBegun, lambda fields: JobBegun(int(fields["number"]))),
    "ended": (JobEnded, lambda fields: JobEnded(int(fields["number"]), bool(fields["holds_gpu"]))),
}
