"""`serve`: a worker process for other programs, which loads PyTorch and the checkpoint once."""

from __future__ import annotations

import argparse
import io
import sys

SUMMARY = "Translate scans for another program: one request per line in, one event per line out, as JSON."
EXAMPLE = """echo '{"number": 1, "job": {"source": "flair.nii.gz", "output": "t1w.nii.gz"}}' | lmidiffusion serve"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(parsed: argparse.Namespace) -> None:
    from ..jobs.reporting import EventReporter
    from ..jobs.worker import Requests, Server

    # Unbuffered: the lock of a buffer that a thread waits at would be missed at the end of the process.
    Server(EventReporter()).run(Requests(io.FileIO(sys.stdin.fileno(), closefd=False)))
