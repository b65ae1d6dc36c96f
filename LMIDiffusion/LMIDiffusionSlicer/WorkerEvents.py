"""What the library's command reports with `--events`: one JSON object a line."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class StageEvent:
    stage: str


@dataclass(frozen=True)
class ProgressEvent:
    """`slice` of `slices` done; `fraction` of all work; estimate of the seconds left."""

    slice: int
    slices: int
    fraction: float
    secondsLeft: float


@dataclass(frozen=True)
class ClassVolume:
    label: int
    name: str
    millilitres: float


@dataclass(frozen=True)
class ResultEvent:
    classes: tuple[ClassVolume, ...]
    seconds: float


@dataclass(frozen=True)
class ErrorEvent:
    message: str


Event = StageEvent | ProgressEvent | ResultEvent | ErrorEvent


def parseEvent(line: str) -> Event | None:
    """The event on a line, or None where the line is anything else: packages print what they like."""
    try:
        fields = json.loads(line)
        return _READERS[fields["event"]](fields)
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _progress(fields: dict) -> ProgressEvent:
    fraction = min(1.0, max(0.0, float(fields["fraction"])))
    return ProgressEvent(int(fields["slice"]), int(fields["slices"]), fraction, float(fields["seconds_left"]))


def _result(fields: dict) -> ResultEvent:
    classes = tuple(
        ClassVolume(int(each["label"]), str(each["name"]), float(each["millilitres"])) for each in fields["classes"]
    )
    return ResultEvent(classes, float(fields["seconds"]))


_READERS = {
    "stage": lambda fields: StageEvent(str(fields["stage"])),
    "progress": _progress,
    "result": _result,
    "error": lambda fields: ErrorEvent(str(fields["message"])),
}
