"""A child process that never blocks the main thread and can be ended with all its children."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import qt

_POLL_MILLISECONDS = 50
_LINES_PER_POLL = 500
_QUEUED_LINES = 10_000
_MAXIMUM_LINE = 64 * 1024
_SECONDS_TO_END = 1.0


class WorkerProcess:
    """Runs a command; its output arrives line by line on the main thread, through the Qt event loop.

    :param onLine: called with "stdout" or "stderr" and the text of a line.
    :param onExit: called once with the exit code, after the last line, unless `terminate` came first.
    """

    def __init__(
        self,
        command: list[str],
        *,
        environment: dict[str, str],
        folder: Path,
        onLine: Callable[[str, str], None],
        onExit: Callable[[int], None],
    ):
        self._onLine = onLine
        self._onExit = onExit
        # Bounded: a worker that floods its output waits in place of filling the memory.
        self._lines: queue.Queue[tuple[str, str]] = queue.Queue(_QUEUED_LINES)
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **_ownProcessGroup(),
        )
        self._readers = [
            self._startReader("stdout", self._process.stdout),
            self._startReader("stderr", self._process.stderr),
        ]
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._poll)
        self._timer.start()

    @property
    def processId(self) -> int:
        return self._process.pid

    def terminate(self) -> None:
        """End the process and all its children, and wait for them. Nothing is reported afterwards."""
        if self._timer is None:
            return
        self._stopPolling()
        _endTree(self._process)
        self._drain()

    def _startReader(self, name: str, stream: IO[bytes]) -> threading.Thread:
        reader = threading.Thread(target=self._read, args=(name, stream), daemon=True)
        reader.start()
        return reader

    def _read(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            while line := stream.readline(_MAXIMUM_LINE):
                self._lines.put((name, line.decode("utf-8", "replace").rstrip("\r\n")))

    def _poll(self) -> None:
        for _count in range(_LINES_PER_POLL):
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                self._reportExit()
                return
            self._onLine(*line)
            if self._timer is None:
                return  # what the line led to has ended the process

    def _reportExit(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        # PythonSlicer is a launcher: when it is killed, the Python that it started lives on and keeps the pipes open.
        _endTree(self._process)
        if any(reader.is_alive() for reader in self._readers):
            return
        if self._lines.empty():
            self._stopPolling()
            self._onExit(code)

    def _stopPolling(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.disconnect("timeout()", self._poll)
            self._timer = None

    def _drain(self) -> None:
        """Let the readers end, which may wait for room in the queue."""
        deadline = time.monotonic() + _SECONDS_TO_END
        while any(reader.is_alive() for reader in self._readers) and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                self._lines.get(timeout=0.01)


def _ownProcessGroup() -> dict:
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _endTree(process: subprocess.Popen) -> None:
    if os.name == "nt":
        _endTreeOnWindows(process)
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _signalGroup(process, number):
            return
        deadline = time.monotonic() + _SECONDS_TO_END
        while time.monotonic() < deadline:
            if not _signalGroup(process, 0):
                return
            time.sleep(0.01)


def _signalGroup(process: subprocess.Popen, number: int) -> bool:
    """Whether any process of the group is left."""
    process.poll()  # reaps it, so that it no longer counts
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return False
    return True


def _endTreeOnWindows(process: subprocess.Popen) -> None:
    if process.poll() is None:
        command = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False, **_ownProcessGroup())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS_TO_END)
