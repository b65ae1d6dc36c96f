"""Arguments that several commands take, and the types of their values."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UserError, printable
from ..interface.presets import DEFAULT_PRESET, PRESETS
from ..interface.resources import DEFAULT_CHECKPOINT

if TYPE_CHECKING:
    from ..benchmark.comparison import ComparisonOptions
    from ..benchmark.tables import BenchmarkReport
    from ..translation.options import TranslationOptions

_Comparison = TypeVar("_Comparison", bound="ComparisonOptions")


def add_sampling(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options of a translation in the groups quality and hardware; return the latter."""
    from ..model.samplers import SAMPLERS

    quality = parser.add_argument_group("quality")
    quality.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="NAME_OR_PATH", help="trained model")
    presets = ", ".join(f"{name} {preset.samples} x {preset.steps}" for name, preset in PRESETS.items())
    quality.add_argument(
        "--quality", choices=list(PRESETS), default=DEFAULT_PRESET, help=f"preset, as samples x steps: {presets}"
    )
    quality.add_argument(
        "--samples", type=int, metavar="N", help="number of samples to average (default: that of the preset)"
    )
    quality.add_argument("--sampler", metavar="NAME", help=f"{' or '.join(SAMPLERS)} (default: that of the preset)")
    quality.add_argument(
        "--steps", type=int, metavar="N", help="network evaluations per sample (default: those of the preset)"
    )
    quality.add_argument("--guidance", type=float, default=1.0, metavar="WEIGHT", help="weight of the condition")
    quality.add_argument("--seed", type=int, default=0, metavar="N", help="random seed of the noise")
    hardware = add_device(parser)
    hardware.add_argument(
        "--batch-size",
        type=batch_size,
        default="auto",
        metavar="N",
        help="slices per batch; auto fits the device",
    )
    return hardware


def sampling(parsed: argparse.Namespace, slices: tuple[int, int] | None = None) -> TranslationOptions:
    """Return the options of `add_sampling` as `TranslationOptions`."""
    from ..translation.options import TranslationOptions

    chosen = {name: getattr(parsed, name) for name in ("sampler", "steps", "samples")}
    return TranslationOptions.from_preset(
        parsed.quality,
        **{name: value for name, value in chosen.items() if value is not None},
        guidance=parsed.guidance,
        slices=slices,
        batch_size=parsed.batch_size,
        seed=parsed.seed,
    )


def add_comparison(parser: argparse.ArgumentParser, *, methods: list[str]) -> argparse._ArgumentGroup:
    """Add the methods and pairs to compare, and the output folder; return the group hardware."""
    hardware = add_methods(parser, methods=methods)
    parser.add_argument("--output", type=Path, required=True, help="new folder, or one of an unfinished run")
    return hardware


def add_methods(parser: argparse.ArgumentParser, *, methods: list[str]) -> argparse._ArgumentGroup:
    """Add the methods and pairs to compare; return the group hardware."""
    from ..benchmark.registry import method_forms

    parser.add_argument("pairs", type=Path, help="CSV file with columns source, target and, if there are any, mask")
    parser.add_argument(
        "--methods", nargs="+", default=methods, metavar="METHOD", help=f"methods to compare: {method_forms()}"
    )
    parser.add_argument("--target-scans", type=Path, help="folder of target-modality scans for histogram-matching")
    return add_sampling(parser)


def comparison(kind: type[_Comparison], parsed: argparse.Namespace) -> tuple[_Comparison, list[str]]:
    """Return the options of a comparison, and a sentence about each unusable row of the list of pairs."""
    from ..benchmark.pairs import read_pairs

    listed = read_pairs(parsed.pairs)
    own = {**fields_of(kind, parsed), "pairs": listed.pairs, "translation": sampling(parsed)}
    return kind(**own), listed.problems


def fields_of(kind: type, parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the values on the command line of the fields of a dataclass."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in vars(parsed).items() if name in names}


def print_report(report: BenchmarkReport | None, problems: list[str]) -> None:
    """Print the tables of a benchmark; only the first process has a report.

    Raises:
        UserError: rows of the list or runs failed; its message lists them.
    """
    if report is None:
        return
    print(report.tables)
    failures = [*problems, *report.failures]
    if failures:
        raise UserError("\n".join(["Not everything could be done; the rest is written.", *failures]))


def add_device(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the device and its threads in the group hardware, and return the group."""
    hardware = parser.add_argument_group("hardware")
    hardware.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    hardware.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: one per core)")
    return hardware


def add_spread(group: argparse._ArgumentGroup) -> None:
    """Add the options that spread work over devices and machines."""
    group.add_argument("--devices", default="auto", help="number of processes per machine, or GPUs such as 0,2")
    group.add_argument("--nodes", type=positive, default=1, metavar="N", help="number of machines")


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add the options --quiet and --verbose."""
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="print only notices and errors")
    amount.add_argument("-v", "--verbose", action="store_true", help="print also what libraries log, and tracebacks")


def lines_wanted(parsed: argparse.Namespace) -> bool:
    """True if the progress goes to a log file, which shows no progress bar, and is wanted."""
    return not parsed.quiet and not sys.stderr.isatty()


def print_line(line: str) -> None:
    """Print a line about the progress at once."""
    print(printable(line), file=sys.stderr, flush=True)


def slice_range(text: str) -> tuple[int, int]:
    """Parse a range A:B of axial slices."""
    first, separator, stop = text.partition(":")
    if not separator or not first.isdigit() or not stop.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is no slice range; write A:B, such as 40:60")
    return int(first), int(stop)


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def positive_real(text: str) -> float:
    """Parse a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return value


def batch_size(text: str) -> int | None:
    """Parse a batch size; None for `auto`."""
    if text == "auto":
        return None
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is no batch size; give a number or auto")
    return int(text)
