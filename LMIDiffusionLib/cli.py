"""The command line: a table of commands. What is heavy is imported by the one that runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from . import __version__
from .commands import demo, doctor, info, prepare, serve, translate, translate_cohort
from .commands.benchmark import downstream, figure, quality, speed
from .commands.process_setup import prepare_process
from .commands.training import train, train_cyclegan, train_regression, train_stylegan
from .interface.events import Error, ErrorKind, failure

_STATUS = {ErrorKind.BAD_INPUT: 2, ErrorKind.OUT_OF_MEMORY: 2, ErrorKind.CANCELLED: 130}


class Command(Protocol):
    """What a module of a command has."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Tell the parser what the command is given."""

    def run(self, parsed: argparse.Namespace) -> None:
        """Do it."""


COMMANDS: dict[str, Command] = {
    "translate": translate,
    "translate-cohort": translate_cohort,
    "serve": serve,
    "prepare": prepare,
    "train": train,
    "train-regression": train_regression,
    "train-cyclegan": train_cyclegan,
    "train-stylegan": train_stylegan,
    "info": info,
    "demo": demo,
    "doctor": doctor,
    "evaluate": quality,  # its former name
    "benchmark quality": quality,
    "benchmark downstream": downstream,
    "benchmark figure": figure,
    "benchmark speed": speed,
}
_GROUPS = {"benchmark": "Measure."}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 when done, 2 for bad input, 130 when interrupted."""
    prepare_process()
    words = sys.argv[1:] if arguments is None else arguments
    parsed = parser_for(words).parse_args(words)
    try:
        parsed.run(parsed)
    except (Exception, KeyboardInterrupt) as error:
        reason = failure(error)
        _report_error(parsed, reason)
        if reason.kind is ErrorKind.INTERNAL:
            raise
        sys.exit(_STATUS[reason.kind])
    sys.exit(0)


def _report_error(parsed: argparse.Namespace, reason: Error) -> None:
    if getattr(parsed, "events", False):
        from .jobs.reporting import EventReporter

        EventReporter().report(reason)
    print(f"lmidiffusion: {reason.message}", file=sys.stderr)


def parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of all commands, with the arguments of the one that the words begin with.

    The arguments of a command may list registries, which import PyTorch.
    """
    parser = argparse.ArgumentParser(
        prog="lmidiffusion",
        description="Turn an MR volume of one contrast into another that segmentation tools can read.",
        epilog="For research; no medical device.",
    )
    parser.add_argument("--version", action="version", version=f"lmidiffusion {__version__}")
    menus = {"": parser.add_subparsers(title="commands", required=True, metavar="COMMAND")}
    for name, command in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        if group not in menus:
            part = menus[""].add_parser(group, help=_GROUPS[group], description=_GROUPS[group])
            menus[group] = part.add_subparsers(title="commands", required=True, metavar="COMMAND")
        summary = command.SUMMARY
        each = menus[group].add_parser(last, help=summary, description=summary, formatter_class=_HelpFormatter)
        each.set_defaults(run=command.run)
        if [*words[: 1 + name.count(" ")]] == name.split():
            command.add_arguments(each)
    return parser


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, "") else super()._get_help_string(action)
