"""How a command tells what it is doing: a progress bar for people, one JSON object a line for programs."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Protocol

from tqdm import tqdm

from ..errors import ScanWarning
from ..interface.events import Doubt, Event, Result, Stage, to_line
from ..interface.progress import Progress


class Reporter(Protocol):
    """Hears of every event of a translation."""

    def report(self, event: Event) -> None:
        """Something happened."""

    def close(self) -> None:
        """Nothing more will come."""


@contextlib.contextmanager
def doubts_told(reporter: Reporter) -> Iterator[None]:
    """Every `ScanWarning` becomes an event, also one that another job of the process has given already."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", ScanWarning)
        show_others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, ScanWarning):
                reporter.report(Doubt(str(message)))
            else:
                show_others(message, category, *place)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


class EventReporter:
    """One JSON object a line on standard output."""

    def report(self, event: Event) -> None:
        print(to_line(event), flush=True)

    def close(self) -> None:
        pass


class TerminalReporter:
    """A progress bar where standard error is a terminal, and a few words at the end."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def report(self, event: Event) -> None:
        if isinstance(event, Stage):
            self.close()
        elif isinstance(event, Progress):
            self._show(event)
        elif isinstance(event, Doubt):
            print(f"lmidiffusion: {event.message}", file=sys.stderr, flush=True)
        elif isinstance(event, Result):
            _summarise(event)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, progress: Progress) -> None:
        if self._bar is None:
            form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(total=1.0, bar_format=form, disable=None, file=sys.stderr)
        self._bar.desc = f"Translating slice {progress.slice} of {progress.slices}"
        self._bar.update(progress.fraction - self._bar.n)


def _summarise(result: Result) -> None:
    for path in filter(None, (result.output, result.segmentation, result.uncertainty)):
        print(f"Wrote {path}")
    for each in result.classes:
        print(f"  {each.label} {each.name:<13} {each.millilitres:9.1f} ml")
    print(f"Done in {result.seconds:.0f} s.")
