"""Setup of a command's process: closed or ASCII-only streams, signals, threads, and verbosity."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn, TextIO

from ..errors import ScanWarning, printable


def prepare_process() -> None:
    """Make sure that no result is lost over a terminal, and that temporary files are removed at the end.

    To be called before torch is imported, whose OpenMP reads its settings once.
    """
    # Threads that wait actively take the time of those they wait for where other programs keep the cores busy.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an ASCII terminal has no ±
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores it
            signal.signal(number, _terminate)
    warnings.showwarning = _show_warning
    logging.disable(logging.WARNING)  # Lightning tells what devices it has found and what else its makers sell


@contextlib.contextmanager
def chosen_output(parsed: argparse.Namespace) -> Iterator[None]:
    """Print as little or as much as `--quiet` and `--verbose` ask for."""
    with contextlib.ExitStack() as stack:
        if getattr(parsed, "quiet", False):
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            stack.enter_context(contextlib.redirect_stderr(_NoTerminal(sys.stderr)))
        if getattr(parsed, "verbose", False):
            logging.disable(logging.NOTSET)
            logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
            warnings.showwarning = _show_any_warning
        yield


class _NoTerminal(io.TextIOBase):
    """A stream on which progress bars, which need a terminal, stay away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


def limit_threads(count: int) -> None:
    """Limit the CPU threads of this process and of those that it starts."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    import torch

    torch.set_num_threads(count)


def _open_closed_streams() -> None:
    """Open closed streams as empty ones: the next opened file would else get their number and their text."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Raise an exception, so that temporary files are removed."""
    sys.exit(128 + number)


_show_any_warning = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show this library's warnings in one line, and those of packages not at all."""
    if issubclass(category, ScanWarning):
        print(printable(f"lmidiffusion: {message}"), file=sys.stderr, flush=True)
