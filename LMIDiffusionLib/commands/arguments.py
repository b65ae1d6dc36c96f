"""Arguments that several commands take, and the types of their values."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..interface.presets import DEFAULT_PRESET, PRESETS
from ..interface.resources import DEFAULT_CHECKPOINT

if TYPE_CHECKING:
    from ..benchmark.tables import BenchmarkReport
    from ..translation.options import TranslationOptions


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How volumes are translated."""
    from ..model.samplers import SAMPLERS

    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="NAME_OR_PATH", help="trained model")
    presets = "; ".join(f"{name}: {p.samples} x {p.steps} steps of {p.sampler}" for name, p in PRESETS.items())
    parser.add_argument("--quality", choices=list(PRESETS), default=DEFAULT_PRESET, help=presets)
    parser.add_argument(
        "--samples",
        type=int,
        help="samples to average, each of another view of the source; those of the quality if not given",
    )
    parser.add_argument("--sampler", help=f"{' or '.join(SAMPLERS)}; that of the quality if not given")
    parser.add_argument("--steps", type=int, help="network evaluations a sample; those of the quality if not given")
    parser.add_argument("--guidance", type=float, default=1.0, help="weight of the condition")
    parser.add_argument("--batch-size", type=batch_size, default="auto", help="slices at once; auto fits the device")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    add_device(parser)


def sampling(parsed: argparse.Namespace, slices: tuple[int, int] | None = None) -> TranslationOptions:
    """The options that `add_sampling` has asked for."""
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


def add_comparison(parser: argparse.ArgumentParser, *, methods: list[str]) -> None:
    """Add methods, pairs and the folder of the results."""
    add_methods(parser, methods=methods)
    parser.add_argument("--output", type=Path, required=True, help="new folder, or one to go on with")


def add_methods(parser: argparse.ArgumentParser, *, methods: list[str]) -> None:
    """Add methods and pairs."""
    from ..benchmark.registry import method_forms

    parser.add_argument("pairs", type=Path, help="CSV file with rows source,target[,mask]")
    parser.add_argument(
        "--methods", nargs="+", default=methods, metavar="METHOD", help=f"methods to compare: {method_forms()}"
    )
    parser.add_argument("--target-scans", type=Path, help="folder of target-modality scans, for histogram matching")
    add_sampling(parser)


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


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where to compute."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")


def slice_range(text: str) -> tuple[int, int]:
    """The axial slices of a text A:B."""
    first, separator, stop = text.partition(":")
    if not separator or not first.isdigit() or not stop.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is no slice range; write A:B, such as 40:60")
    return int(first), int(stop)


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def positive_real(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return value


def batch_size(text: str) -> int | None:
    """Slices at once; None for `auto`."""
    if text == "auto":
        return None
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is no batch size; give a number or auto")
    return int(text)
