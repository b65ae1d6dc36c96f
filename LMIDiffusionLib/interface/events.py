"""Events of a translation, each of which becomes one line of JSON between two processes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ..errors import UserError, is_out_of_memory
from .notices import Notice, NoticeKind
from .progress import Progress

_LIBRARY = __name__.partition(".")[0]

IDLE_SECONDS = 600.0
"""A worker process ends after so long without a request."""


class Stage(Enum):
    """A stage of the work has begun; stages follow each other in this order, without those that nobody asked for."""

    LOADING = "loading"
    READING = "reading"
    TRANSLATING = "translating"
    DRAWING = "drawing"
    SEGMENTING = "segmenting"
    WRITING = "writing"


@dataclass(frozen=True)
class ClassVolume:
    """The label, name and volume of a class of the segmentation."""

    label: int
    name: str
    milliliters: float


@dataclass(frozen=True)
class Result:
    """All files have been written.

    Attributes:
        output: the translated volume.
        segmentation: the label map; None if it was not asked for.
        uncertainty: the map of the expected error; None if it was not asked for.
        classes: of the segmentation.
        seconds: duration of the whole job.
        volumes: the table of volumes; None if it was not asked for.
        sample: one draw; None if it was not asked for.
        expected_error: mean over the head, in the translation's units; None if it was not asked for.
    """

    output: Path
    segmentation: Path | None
    uncertainty: Path | None
    classes: tuple[ClassVolume, ...]
    seconds: float
    volumes: Path | None = None
    sample: Path | None = None
    expected_error: float | None = None


class ErrorKind(Enum):
    """The reason of a failure; each calls for another action of the user."""

    OUT_OF_MEMORY = "out-of-memory"
    BAD_INPUT = "bad-input"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Error:
    """The job has failed.

    Attributes:
        kind: the reason.
        text: one sentence, without the place that it begins with.
        place: the file that it is about; empty if it is about no file.
    """

    kind: ErrorKind
    text: str
    place: str = ""

    @property
    def message(self) -> str:
        """The whole sentence."""
        return f"{self.place} {self.text}".lstrip()


@dataclass(frozen=True)
class JobStarted:
    """A worker process has started the job of that number."""

    number: int


@dataclass(frozen=True)
class JobEnded:
    """A worker process has ended a job, which had a `Result` or an `Error`.

    Attributes:
        number: of the job.
        holds_gpu: True if the process has used a GPU; the driver keeps some GPU memory until the process ends.
    """

    number: int
    holds_gpu: bool


Event = Stage | Progress | Notice | Result | Error | JobStarted | JobEnded


def to_line(event: Event) -> str:
    """Write an event as one line of JSON, which `parse` reads."""
    name = next(name for name, (kind, _) in _READERS.items() if isinstance(event, kind))
    fields = {"stage": event.value} if isinstance(event, Stage) else dataclasses.asdict(event)
    return json.dumps({"event": name, **fields}, default=_plain)


def parse(line: str) -> Event | None:
    """Read the event on a line; return None for any other line, as packages print."""
    try:
        fields = json.loads(line)
        _, read = _READERS[fields["event"]]
        return read(fields)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None


def failure(error: BaseException) -> Error:
    """Return the event of an exception that ended the work."""
    if is_out_of_memory(error):
        sentence = str(error) if isinstance(error, UserError) else "The computer has too little memory; free some."
        return Error(ErrorKind.OUT_OF_MEMORY, sentence)
    if isinstance(error, UserError):
        return Error(ErrorKind.BAD_INPUT, error.text, error.place)
    if isinstance(error, KeyboardInterrupt):
        return Error(ErrorKind.CANCELLED, str(error) or "Interrupted.")
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != _LIBRARY:
        message = f"The package {error.name} is missing; in the checkout: pip install '.[train]'."
        return Error(ErrorKind.BAD_INPUT, message)
    if isinstance(error, OSError) and error.strerror:
        problem = "cannot be used" if error.filename else "A file cannot be read or written"
        text = f"{problem} ({error.strerror}); check its folder, its permissions and the free space."
        return Error(ErrorKind.BAD_INPUT, text, str(error.filename or ""))
    first = next(iter(str(error).splitlines()), "")
    return Error(ErrorKind.INTERNAL, f"Something unexpected happened ({type(error).__name__}: {first}); report it.")


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


def _notice(fields: dict[str, Any]) -> Notice:
    return Notice(NoticeKind(fields["kind"]), str(fields["place"]), str(fields["text"]))


def _result(fields: dict[str, Any]) -> Result:
    classes = [
        ClassVolume(int(each["label"]), str(each["name"]), float(each["milliliters"])) for each in fields["classes"]
    ]
    return Result(
        output=Path(fields["output"]),
        segmentation=_path(fields["segmentation"]),
        uncertainty=_path(fields["uncertainty"]),
        classes=tuple(classes),
        seconds=float(fields["seconds"]),
        volumes=_path(fields.get("volumes")),
        sample=_path(fields.get("sample")),
        expected_error=None if fields.get("expected_error") is None else float(fields["expected_error"]),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


_READERS: dict[str, tuple[type[Event], Callable[[dict[str, Any]], Event]]] = {
    "stage": (Stage, lambda fields: Stage(fields["stage"])),
    "progress": (Progress, _progress),
    "notice": (Notice, _notice),
    "result": (Result, _result),
    "error": (Error, lambda fields: Error(ErrorKind(fields["kind"]), str(fields["text"]), str(fields["place"]))),
    "started": (JobStarted, lambda fields: JobStarted(int(fields["number"]))),
    "ended": (JobEnded, lambda fields: JobEnded(int(fields["number"]), bool(fields["holds_gpu"]))),
}
