"""The command line: a table of commands. What is heavy is imported by the one that runs."""

from __future__ import annotations

import argparse
import difflib
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

from . import __version__
from .commands import demo, doctor, info, prepare, serve, translate, translate_cohort
from .commands.arguments import add_verbosity
from .commands.benchmark import downstream, figure, quality, speed
from .commands.completion import SHELLS
from .commands.process_setup import chosen_output, limit_threads, prepare_process
from .commands.training import refine, train, train_cyclegan, train_regression, train_stylegan
from .errors import Interrupted, printable
from .interface.events import Error, ErrorKind, failure

_STATUS = {ErrorKind.BAD_INPUT: 2, ErrorKind.OUT_OF_MEMORY: 2, ErrorKind.CANCELLED: 130}


class Command(Protocol):
    """Names that the module of a command has."""

    SUMMARY: str
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the command."""

    def run(self, parsed: argparse.Namespace) -> None:
        """Run the command."""


COMMANDS: dict[str, Command] = {
    "translate": translate,
    "translate-cohort": translate_cohort,
    "serve": serve,
    "prepare": prepare,
    "train": train,
    "refine": refine,
    "train-regression": train_regression,
    "train-cyclegan": train_cyclegan,
    "train-stylegan": train_stylegan,
    "info": info,
    "demo": demo,
    "doctor": doctor,
    "benchmark quality": quality,
    "benchmark downstream": downstream,
    "benchmark figure": figure,
    "benchmark speed": speed,
}
_FORMER_NAMES = {"evaluate": ("benchmark", "quality")}
_GROUPS = {"benchmark": "Compare methods, run tools on translations, measure speed."}
_PRINT_THEIR_RESULT = frozenset(("serve", "info", "doctor", "benchmark speed"))
_EXAMPLE = "example:"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 when done, 2 for bad input, 130 when interrupted."""
    prepare_process()
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    if words and words[0] in _FORMER_NAMES:
        words[:1] = _FORMER_NAMES[words[0]]
    parser = parser_for(words)
    if "" in words:
        parser.error("an argument is empty; is a variable of the shell unset?")
    parsed = parser.parse_args(words)
    if getattr(parsed, "threads", None) is not None:
        limit_threads(parsed.threads)
    try:
        with chosen_output(parsed):
            parsed.run(parsed)
    except (Exception, KeyboardInterrupt) as error:
        reason = failure(error)
        _report_error(parsed, reason)
        if reason.kind is ErrorKind.INTERNAL:
            raise
        sys.exit(error.status if isinstance(error, Interrupted) else _STATUS[reason.kind])
    sys.exit(0)


def _report_error(parsed: argparse.Namespace, reason: Error) -> None:
    if getattr(parsed, "events", False):
        from .jobs.reporting import EventReporter

        EventReporter().report(reason)
    if getattr(parsed, "verbose", False):
        traceback.print_exc()
    print(f"lmidiffusion: {printable(reason.message)}", file=sys.stderr)


def parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of all commands, with the arguments of the one that the words begin with.

    The arguments of the others are left out, because they may list registries, which import PyTorch.
    """
    return _parser(lambda name: [*words[: 1 + name.count(" ")]] == name.split())


def full_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands with all their arguments."""
    return _parser(lambda name: True)


def _parser(has_arguments: Callable[[str], bool]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lmidiffusion",
        description="Translate MR scans of the head to T1w and segment them.",
        epilog="For research only; not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"lmidiffusion {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        default=argparse.SUPPRESS,
        action=_PrintCompletion,
        help="print a script that completes commands",
    )
    menus = {"": parser.add_subparsers(title="commands", required=True, metavar="COMMAND")}
    for name, command in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        if group not in menus:
            part = menus[""].add_parser(group, help=_GROUPS[group], description=_GROUPS[group])
            menus[group] = part.add_subparsers(title="commands", required=True, metavar="COMMAND")
        each = menus[group].add_parser(
            last,
            description=command.SUMMARY,
            epilog=f"{_EXAMPLE}\n  {command.EXAMPLE}",
            formatter_class=_HelpFormatter,
            help=command.SUMMARY,
        )
        each.set_defaults(run=command.run)
        if has_arguments(name):
            command.add_arguments(each)
            if name not in _PRINT_THEIR_RESULT:
                add_verbosity(each)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what was probably meant where an option, a command or a choice is unknown."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        parsed, unknown = super().parse_known_args(args, namespace)
        option = next((word.partition("=")[0] for word in unknown if word.startswith("-")), None)
        if option is not None:
            self._refuse("", option, [*self._option_string_actions])
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            kind = "command" if isinstance(action, argparse._SubParsersAction) else _name_of(action)
            self._refuse(f"{kind} ", str(value), [*map(str, action.choices)])

    def _refuse(self, kind: str, word: str, known: list[str]) -> NoReturn:
        """Exit with one line that names the likeliest of the known words, or few of them, and where to read more."""
        close = difflib.get_close_matches(word, known, n=1)
        listed = f"; choose one of {', '.join(known)}." if kind else "."
        advice = f"; did you mean {close[0]}?" if close else listed
        self.exit(2, printable(f"lmidiffusion: There is no {kind}{word}{advice}\nSee {self.prog} --help.\n"))


def _name_of(action: argparse.Action) -> str:
    return (max(action.option_strings, key=len, default="") or action.dest).lstrip("-")


class _PrintCompletion(argparse.Action):
    """Prints a script for a shell and exits."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, shell: object, option: object = None
    ) -> None:
        from .commands.completion import script

        print(script(full_parser(), str(shell)))
        parser.exit()


class _HelpFormatter(argparse.HelpFormatter):
    """Shows defaults as one would type them, and the example as it stands."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if default is None or default is False or default in ("", argparse.SUPPRESS) or not action.option_strings:
            return action.help
        typed = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
        return f"{action.help} (default: {typed})".replace("%", "%%")

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_EXAMPLE) else super()._fill_text(text, width, indent)
