"""A child process that never blocks the main thread and can be ended with all its children."""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import qt
import slicer

_POLL_MILLISECONDS = 50
# More than this waits for the next poll, so that a worker that floods its output cannot block the main thread.
_BYTES_PER_POLL = 256 * 1024
_MAXIMUM_LINE = 64 * 1024
_SECONDS_TO_END = 1.0


class WorkerProcess:
    """Runs a command; its output arrives line by line on the main thread, through the Qt event loop.

    No thread reads it: Python may collect garbage in any thread, and Qt and VTK objects must not be freed but in the
    main one.

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
        self._deadline = 0.0
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,  # it ends when the application is gone, and a child that reads it with it
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            **_ownProcessGroup(),
        )
        self._outputs = {"stdout": _LineReader(self._process.stdout), "stderr": _LineReader(self._process.stderr)}
        # A child of the application is not freed while it calls us.
        self._timer = qt.QTimer(slicer.app)
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._poll)
        self._timer.start()

    def send(self, line: str) -> None:
        """Give it a line of input, of few enough bytes that it need not read for us to go on.

        One that has ended hears nothing; `onExit` tells of it.
        """
        with contextlib.suppress(OSError):
            self._process.stdin.write(f"{line}\n".encode())

    def terminate(self) -> None:
        """End the process and all its children, and wait for them. Nothing is reported afterwards."""
        if self._timer is not None:
            self._stop()
            _endTree(self._process)

    def _poll(self) -> None:
        code = self._process.poll()
        if code is not None:
            # PythonSlicer is a launcher: when it is killed, the Python that it has started lives on.
            _endTree(self._process)
        for name, reader in self._outputs.items():
            for line in reader.lines():
                self._onLine(name, line)
                if self._timer is None:
                    return  # what the line led to has ended the process
        if code is not None and self._isSilent():
            self._stop()
            self._onExit(code)

    def _isSilent(self) -> bool:
        """Tell whether the ended process has said all; others that have inherited its pipes are not waited for."""
        self._deadline = self._deadline or time.monotonic() + _SECONDS_TO_END
        return all(reader.isAtEnd for reader in self._outputs.values()) or time.monotonic() > self._deadline

    def _stop(self) -> None:
        self._timer.stop()
        self._timer.disconnect("timeout()", self._poll)
        self._timer.deleteLater()
        self._timer = None
        for reader in self._outputs.values():
            reader.close()
        with contextlib.suppress(OSError):
            self._process.stdin.close()


class _LineReader:
    """Lines from a pipe, read without waiting; `isAtEnd` tells that nothing more can come."""

    def __init__(self, pipe: IO[bytes]):
        os.set_blocking(pipe.fileno(), False)
        self._pipe = pipe
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self.isAtEnd = False

    def lines(self) -> list[str]:
        """Return the lines that have become whole since the last call; at the end also one without a line break."""
        if self.isAtEnd:
            return []
        self._rest += self._decoder.decode(self._read(), final=self.isAtEnd)
        *lines, self._rest = self._rest.replace("\r\n", "\n").split("\n")
        if len(self._rest) > _MAXIMUM_LINE or (self.isAtEnd and self._rest):
            lines.append(self._rest)
            self._rest = ""
        return lines

    def close(self) -> None:
        self._pipe.close()

    def _read(self) -> bytes:
        found = bytearray()
        while len(found) < _BYTES_PER_POLL:
            try:
                block = os.read(self._pipe.fileno(), _MAXIMUM_LINE)
            except BlockingIOError:
                break
            if not block:
                self.isAtEnd = True
                break
            found += block
        return bytes(found)


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
    """Send a signal to the group, and tell whether any process of it is left."""
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
