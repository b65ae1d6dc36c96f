"""`serve`: a worker process for other programs, which loads PyTorch and the checkpoint once."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING, NoReturn

from ..errors import UserError
from . import translate

if TYPE_CHECKING:
    from ..jobs.translation_job import TranslationJob

SUMMARY = "Translate scans for another program: one request per line in, one event per line out, as JSON."
EXAMPLE = """echo '{"number": 1, "arguments": ["flair.nii.gz", "t1w.nii.gz"]}' | lmidiffusion serve"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(parsed: argparse.Namespace) -> None:
    from ..jobs.reporting import EventReporter
    from ..jobs.worker import Requests, Server

    # Unbuffered: the lock of a buffer that a thread waits at would be missed at the end of the process.
    Server(EventReporter(), _job_of).run(Requests(io.FileIO(sys.stdin.fileno(), closefd=False)))


class _Parser(argparse.ArgumentParser):
    """Parser that raises a `UserError` instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"The arguments are not those of translate: {message}.")


def _job_of(arguments: list[str]) -> TranslationJob:
    parser = _Parser(add_help=False)
    translate.add_arguments(parser)
    return translate.job_of(parser.parse_args(arguments))
