"""How a command tells what it is doing: a progress bar for people, one JSON object a line for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from .translation import Progress


@dataclass(frozen=True)
class ClassVolume:
    """One class of the segmentation: its label in the file, its name and its volume."""

    label: int
    name: str
    millilitres: float


@dataclass(frozen=True)
class Result:
    """What a translation wrote, and how long it took in seconds."""

    output: Path
    segmentation: Path | None
    uncertainty: Path | None
    classes: list[ClassVolume]
    seconds: float


class Reporter(Protocol):
    """Hears of every event of a translation."""

    def stage(self, name: str) -> None:
        """A stage begins: reading, loading, translating, segmenting or writing."""

    def progress(self, progress: Progress) -> None:
        """The translation went a step further."""

    def result(self, result: Result) -> None:
        """All files are written."""

    def close(self) -> None:
        """Nothing more will come."""


class EventReporter:
    """One JSON object a line on standard output, its kind under `event`."""

    def stage(self, name: str) -> None:
        self._print("stage", {"stage": name})

    def progress(self, progress: Progress) -> None:
        self._print("progress", dataclasses.asdict(progress))

    def result(self, result: Result) -> None:
        self._print("result", dataclasses.asdict(result))

    def error(self, message: str) -> None:
        """The command ends without a result."""
        self._print("error", {"message": message})

    def close(self) -> None:
        pass

    def _print(self, event: str, fields: dict[str, Any]) -> None:
        print(json.dumps({"event": event, **fields}, default=str), flush=True)


class TerminalReporter:
    """A progress bar where standard error is a terminal, and a few words at the end."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def stage(self, name: str) -> None:
        self.close()

    def progress(self, progress: Progress) -> None:
        if self._bar is None:
            form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(total=1.0, bar_format=form, disable=None, file=sys.stderr)
        self._bar.desc = f"Translating slice {progress.slice} of {progress.slices}"
        self._bar.update(progress.fraction - self._bar.n)

    def result(self, result: Result) -> None:
        for path in filter(None, (result.output, result.segmentation, result.uncertainty)):
            print(f"Wrote {path}")
        for each in result.classes:
            print(f"  {each.label} {each.name:<13} {each.millilitres:9.1f} ml")
        print(f"Done in {result.seconds:.0f} s.")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
