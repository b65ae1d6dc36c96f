"""Reports of a running command: a progress bar for people, one JSON object a line for programs."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from tqdm import tqdm

from ..errors import printable
from ..interface.events import Event, Result, Stage, to_line
from ..interface.notices import Notice
from ..interface.progress import Progress


class Reporter(Protocol):
    """Listener to every event of a job."""

    def report(self, event: Event) -> None:
        """Handle an event."""

    def close(self) -> None:
        """Clean up after the last event."""


class EventReporter:
    """Prints one JSON object a line on standard output."""

    def report(self, event: Event) -> None:
        print(to_line(event), flush=True)

    def close(self) -> None:
        pass


class TerminalReporter:
    """Shows a progress bar if standard error is a terminal, and prints notices and a summary."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def report(self, event: Event) -> None:
        if isinstance(event, Stage):
            self.close()
        elif isinstance(event, Progress):
            self._show(event)
        elif isinstance(event, Notice):
            print(f"lmidiffusion: {printable(event.message)}", file=sys.stderr, flush=True)
        elif isinstance(event, Result):
            _print_summary(event)

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


class LogReporter(TerminalReporter):
    """Prints one line on standard error for each stage, for log files, and notices and a summary."""

    def report(self, event: Event) -> None:
        if isinstance(event, Stage):
            print(f"{event.value.capitalize()}...", file=sys.stderr, flush=True)
        super().report(event)


def _print_summary(result: Result) -> None:
    for path in filter(None, (result.output, result.segmentation, result.uncertainty, result.sample, result.volumes)):
        print(f"Wrote {printable(path)}")
    for each in result.classes:
        print(f"  {each.label} {each.name:<13} {each.milliliters:9.1f} ml")
    if result.expected_error is not None:
        print(
            f"Expected error: {result.expected_error:.3f} on average over the head, where intensities go from 0 to 1."
        )
    print(f"Done in {result.seconds:.0f} s.")
