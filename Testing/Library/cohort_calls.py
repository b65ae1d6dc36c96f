"""Calls of `translate-cohort` as processes that are killed, forked from one that has imported what is large."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from LMIDiffusionLib.cli import main


@dataclass(frozen=True)
class Call:
    """A process of a call, and the file of its exit status.

    Multiprocessing says 255 of a process that it has lost sight of, whatever came of it: the process tells by itself.
    """

    process: ForkServerProcess
    answer: Path

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return self.process.is_alive()

    def status(self) -> int:
        """Wait for its end; the exit status, or minus the signal that it was killed by."""
        self.process.join()
        while _runs(self.process.pid or 0):
            time.sleep(0.01)
        text = self.answer.read_text() if self.answer.exists() else ""
        return int(text) if text else -signal.SIGKILL


def start(words: list[str], processes: int = 1) -> list[Call]:
    """Start a command in as many processes, as a cluster starts them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["LMIDiffusionLib.cohort.run", "LMIDiffusionLib.model.samplers"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    answers = Path(tempfile.mkdtemp(prefix="calls-"))
    started = []
    for rank in range(processes):
        environment = {"OMP_NUM_THREADS": "1"}
        if processes > 1:
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": str(rank)}
        answer = answers / str(rank)
        arguments = ([*words, "--devices", str(processes)], environment, answer)
        started.append(Call(context.Process(target=_work, args=arguments), answer))
        started[-1].process.start()
    return started


def _work(words: list[str], environment: dict[str, str], answer: Path) -> None:
    os.environ.update(environment)
    try:
        main(words)
    except SystemExit as left:
        answer.write_text(str(left.code or 0))
        raise


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def finish(words: list[str], processes: int = 1) -> list[int]:
    """Run a command to its end; the exit status of each process."""
    return [each.status() for each in start(words, processes)]


def content(output: Path) -> dict[str, bytes]:
    """All files of a folder of results by their names."""
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*") if path.is_file()}
