"""The command line. Heavy imports wait until a command needs them, so that `--help` and mistakes answer at once."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from . import __version__
from .events import Error, ErrorKind, failure
from .presets import DEFAULT_PRESET, PRESETS
from .resources import DEFAULT_CHECKPOINT
from .training.options import DataOptions, FitOptions, ModelOptions

if TYPE_CHECKING:
    from .method import Method
    from .options import TranslationOptions

_MAPS = "self and cross (LMI), sobel, intensity"
_STATUS = {ErrorKind.BAD_INPUT: 2, ErrorKind.OUT_OF_MEMORY: 2, ErrorKind.CANCELLED: 130}
_TERMINATED = 143

_Options = TypeVar("_Options", DataOptions, ModelOptions, FitOptions)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 when done, 2 for bad input, 130 when interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    parsed = _parser().parse_args(arguments)
    try:
        parsed.command(parsed)
    except (Exception, KeyboardInterrupt) as error:
        reason = failure(error)
        _report_error(parsed, reason)
        if reason.kind is ErrorKind.INTERNAL:
            raise
        sys.exit(_STATUS[reason.kind])
    sys.exit(0)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave by an exception, so that temporary files are removed."""
    sys.exit(_TERMINATED)


def _report_error(parsed: argparse.Namespace, reason: Error) -> None:
    if getattr(parsed, "events", False):
        from .reporting import EventReporter

        EventReporter().report(reason)
    print(f"lmidiffusion: {reason.message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lmidiffusion",
        description="Turn an MR volume of one contrast into another that segmentation tools can read.",
        epilog="For research; no medical device.",
    )
    parser.add_argument("--version", action="version", version=f"lmidiffusion {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_translate(commands)
    _add_prepare(commands)
    _add_train(commands)
    _add_info(commands)
    _add_evaluate(commands)
    _add_demo(commands)
    _add_benchmark(commands)
    return parser


_Commands = argparse._SubParsersAction  # the only name of what add_subparsers returns


def _add_command(
    commands: _Commands[argparse.ArgumentParser],
    name: str,
    summary: str,
    function: Callable[[argparse.Namespace], None],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.set_defaults(command=function)
    return parser


def _add_translate(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add_command(commands, "translate", "Translate a volume and segment the result.", _translate)
    parser.add_argument("source", type=Path, help="NIfTI volume of any MR contrast")
    parser.add_argument("output", type=Path, help="where the translated volume goes (.nii or .nii.gz)")
    parser.add_argument("--segmentation", type=Path, help="where the K-Means label map goes")
    parser.add_argument("--mask", type=Path, help="brain mask: segment CSF, grey and white matter inside it")
    parser.add_argument("--clusters", type=int, choices=(3, 5), help="intensity classes without a mask; 5 if not given")
    parser.add_argument("--uncertainty", type=Path, help="where the standard deviation over the samples goes")
    parser.add_argument("--slices", type=_slice_range, metavar="A:B", help="axial slices A to B-1 only, 0 at the feet")
    _add_sampling(parser)
    parser.add_argument("--events", action="store_true", help="print one JSON object a line instead of a progress bar")
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="NAME_OR_PATH", help="trained model")
    presets = "; ".join(f"{name}: {p.samples} x {p.steps} steps of {p.sampler}" for name, p in PRESETS.items())
    parser.add_argument("--quality", choices=list(PRESETS), default=DEFAULT_PRESET, help=presets)
    parser.add_argument("--samples", type=int, help="samples to average, each of another view of the source")
    parser.add_argument("--sampler", help="instead of that of the quality")
    parser.add_argument("--steps", type=int, help="network evaluations a sample")
    parser.add_argument("--guidance", type=float, default=1.0, help="weight of the condition")
    parser.add_argument("--batch-size", type=_batch_size, default="auto", help="slices at once; auto fits the device")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")


def _slice_range(text: str) -> tuple[int, int]:
    first, separator, stop = text.partition(":")
    if not separator or not first.isdigit() or not stop.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is no slice range; write A:B, such as 40:60")
    return int(first), int(stop)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def _positive_real(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return value


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is no batch size; give a number or auto")
    return int(text)


def _sampling(parsed: argparse.Namespace, slices: tuple[int, int] | None = None) -> TranslationOptions:
    from .options import TranslationOptions

    chosen = {name: getattr(parsed, name) for name in ("sampler", "steps", "samples")}
    return TranslationOptions.of_preset(
        parsed.quality,
        **{name: value for name, value in chosen.items() if value is not None},
        guidance=parsed.guidance,
        slices=slices,
        batch_size=parsed.batch_size,
        seed=parsed.seed,
    )


def _translate(parsed: argparse.Namespace) -> None:
    from .reporting import EventReporter, TerminalReporter
    from .translation_job import TranslationJob

    job = TranslationJob(
        source=parsed.source,
        output=parsed.output,
        checkpoint=parsed.checkpoint,
        segmentation=parsed.segmentation,
        mask=parsed.mask,
        clusters=parsed.clusters,
        uncertainty=parsed.uncertainty,
        device=parsed.device,
        overwrite=parsed.overwrite,
        options=_sampling(parsed, parsed.slices),
    )
    with contextlib.closing(EventReporter() if parsed.events else TerminalReporter()) as reporter:
        job.run(reporter)


def _add_prepare(commands: _Commands[argparse.ArgumentParser]) -> None:
    summary = "Align scans of several modalities, split subjects, and write what train, evaluate and benchmark read."
    parser = _add_command(commands, "prepare", summary, _prepare)
    parser.add_argument("data", type=Path, help="folder of IXI archives or files, or of NAME_<modality>.nii.gz files")
    parser.add_argument("--output", type=Path, required=True, help="new folder, or one to go on with")
    parser.add_argument("--target", default="T1w", help="modality to translate to")
    parser.add_argument("--sources", nargs="+", default=["PDw", "T2w"], help="modalities to translate from")
    parser.add_argument(
        "--labels", help="NAME_<labels>.nii.gz holds DLMUSE labels on the target's grid, where it exists"
    )
    parser.add_argument(
        "--spacing", type=_positive_real, help="voxel size in millimetres; the target's own if not given"
    )
    parser.add_argument("--correct-bias", action="store_true", help="remove the coils' shading (N4)")
    parser.add_argument("--held-out", type=_positive, default=10, help="subjects kept out of training as pairs")
    parser.add_argument(
        "--paper-split", action="store_true", help="100 subjects to train and 25 to test, 3 axial slices of each"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split")


def _prepare(parsed: argparse.Namespace) -> None:
    from .training.prepare import PreparationOptions, prepare

    left_out = prepare(PreparationOptions(**{name: value for name, value in vars(parsed).items() if name != "command"}))
    for line in left_out:
        print(f"Left out: {line}")
    print(f"Wrote {parsed.output / 'manifest.json'}")


def _add_train(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add_command(commands, "train", "Train a checkpoint on scans of the target modality alone.", _train)
    parser.add_argument("data", type=Path, help="folder of NAME_<modality>.nii.gz files")
    parser.add_argument("--output", type=Path, required=True, help="folder for logs, pictures and the checkpoint")
    _add_data(parser.add_argument_group("data"))
    _add_model(parser.add_argument_group("model"))
    _add_fit(parser.add_argument_group("training"))
    parser.add_argument("--resume", action="store_true", help="go on where the training in --output was stopped")


def _add_data(group: argparse._ArgumentGroup) -> None:
    default = DataOptions()
    group.add_argument("--modality", default=default.modality, help="target modality, as file names have it")
    group.add_argument(
        "--brain-suffix", default=default.brain_suffix, help="NAME_<suffix>.nii.gz is a brain mask, where it exists"
    )
    group.add_argument(
        "--label-suffix",
        help="NAME_<suffix>.nii.gz is a label map of the brain drawn on the scan, where it exists (DLMUSE's are known)",
    )
    group.add_argument(
        "--tissue-levels",
        type=_positive_real,
        nargs=4,
        metavar=("FLUID", "GREY", "WHITE", "FAT"),
        help="intensities that these get in the targets, where DLMUSE labels tell them; as scanned if not given",
    )
    group.add_argument("--pixel-size", type=_positive_real, default=default.pixel_size, help="in-plane, in millimetres")
    group.add_argument("--correct-bias", action="store_true", help="remove the coils' shading first (N4)")
    group.add_argument("--held-out", type=_positive, default=default.held_out, help="subjects for validation")


def _add_model(group: argparse._ArgumentGroup) -> None:
    default = ModelOptions()
    group.add_argument("--name", default=default.name, help="of the exported checkpoint file")
    group.add_argument("--maps", nargs="+", default=[*default.maps], help=f"that steer the network: {_MAPS}")
    group.add_argument(
        "--patch-sizes", type=_positive, nargs="+", default=[*default.patch_sizes], help="sides of the LMI's patches"
    )
    group.add_argument(
        "--search-size", type=_positive, default=default.search_size, help="side of the LMI's search window"
    )
    group.add_argument("--kernel", choices=("gaussian", "histogram"), default=default.kernel, help="of the LMI")
    group.add_argument("--start-from", metavar="NAME_OR_PATH", help="checkpoint whose weights training starts with")
    group.add_argument(
        "--channels", type=_positive, nargs="+", default=[*default.channels], help="features of the U-Net's levels"
    )
    group.add_argument("--blocks", type=_positive, default=default.blocks, help="residual blocks a level")
    group.add_argument("--training-data", default="", help="what the data are, for the checkpoint's description")
    group.add_argument("--licence", default="", help="of the weights, for the checkpoint's description")


def _add_fit(group: argparse._ArgumentGroup) -> None:
    default = FitOptions()
    group.add_argument(
        "--contrast",
        choices=("plain", "moderate", "strong", "anatomical"),
        default=default.contrast,
        help="of the copies the maps are made of",
    )
    group.add_argument("--steps", type=_positive, default=default.steps, help="optimiser steps in all")
    group.add_argument(
        "--steps-per-epoch",
        type=_positive,
        default=default.steps_per_epoch,
        help="steps between two states to resume from",
    )
    group.add_argument("--batch-size", type=_positive, default=default.batch_size, help="slices a step and device")
    group.add_argument(
        "--learning-rate", type=_positive_real, default=default.learning_rate, help="largest of the schedule"
    )
    group.add_argument(
        "--seed", type=int, default=default.seed, help="of all that is random; the split does not depend on it"
    )
    group.add_argument("--devices", default=default.devices, help="how many, or which, as Lightning takes it")
    group.add_argument("--nodes", type=_positive, default=default.nodes, help="machines")
    group.add_argument(
        "--precision",
        default=default.precision,
        help="as Lightning takes it; auto: bf16-mixed where the device has it",
    )
    group.add_argument("--workers", type=int, default=default.workers, help="processes that read slices")


def _train(parsed: argparse.Namespace) -> None:
    from .training.train import train

    path = train(
        parsed.data,
        parsed.output,
        reading=_chosen(DataOptions, parsed),
        model=_chosen(ModelOptions, parsed),
        fit=_chosen(FitOptions, parsed),
        resume=parsed.resume,
    )
    print(f"Wrote {path}")


def _chosen(kind: type[_Options], parsed: argparse.Namespace) -> _Options:
    """Options of one kind out of all that were parsed; lists become the tuples that options hold."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        value = getattr(parsed, field.name)
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _add_info(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add_command(commands, "info", "Describe a checkpoint.", _info)
    parser.add_argument("checkpoint", nargs="?", default=DEFAULT_CHECKPOINT, help="bundled name or path")


def _info(parsed: argparse.Namespace) -> None:
    from .checkpoint import load_checkpoint

    checkpoint = load_checkpoint(parsed.checkpoint)
    parameters = sum(weight.numel() for weight in checkpoint.weights.values())
    for name, value in {"parameters": f"{parameters:,}", **checkpoint.metadata()}.items():
        print(f"{name.replace('_', ' '):<16} {value}")


def _add_evaluate(commands: _Commands[argparse.ArgumentParser]) -> None:
    summary = "Score translations, and the untranslated sources, against true targets."
    parser = _add_command(commands, "evaluate", summary, _evaluate)
    parser.add_argument("pairs", type=Path, help="CSV file with rows source,target[,mask]")
    parser.add_argument("--csv", type=Path, help="where the scores of every slice go")
    parser.add_argument("--every", type=_positive, default=1, help="score every N-th slice")
    _add_sampling(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing CSV file")


def _evaluate(parsed: argparse.Namespace) -> None:
    from tqdm import tqdm

    from .baselines import Identity
    from .benchmark.evaluation import evaluate, format_table, read_pairs, write_csv
    from .checkpoint import load_checkpoint
    from .devices import select_device
    from .diffusion import LMIDiffusion
    from .files import check_output
    from .progress import Progress

    if parsed.csv is not None:
        check_output(parsed.csv, overwrite=parsed.overwrite, endings=(".csv",))
    pairs = read_pairs(parsed.pairs)
    checkpoint, device = load_checkpoint(parsed.checkpoint), select_device(parsed.device)
    methods: dict[str, Method] = {"source": Identity(), "translation": LMIDiffusion(checkpoint, device=device)}
    with tqdm(total=len(pairs), unit="pair", disable=None, bar_format="{desc} {percentage:3.0f}%|{bar}|") as bar:

        def show(name: str, progress: Progress) -> None:
            bar.set_description_str(name, refresh=False)
            bar.update(int(bar.n) + progress.fraction - bar.n)

        scores = evaluate(
            pairs, methods, _sampling(parsed), checkpoint=checkpoint, every=parsed.every, on_progress=show
        )
        results = list(scores)
    print(format_table(results))
    if parsed.csv is not None:
        write_csv(results, parsed.csv)


def _add_demo(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add_command(commands, "demo", "Translate the bundled PDw scan and draw the result.", _demo)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for the results, made if needed")
    _add_device(parser)


def _demo(parsed: argparse.Namespace) -> None:
    from .demo import run_demo

    run_demo(parsed.output, device=parsed.device)


def _add_benchmark(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("benchmark", help="Measure.", description="Measure.")
    kinds = parser.add_subparsers(title="what", required=True, metavar="WHAT")
    speed = _add_command(kinds, "speed", "Time LMI, the network and a whole translation.", _benchmark_speed)
    speed.add_argument(
        "--authors-code", type=Path, help="folder of the public mgh-ccni/midiffusion code to compare with"
    )
    _add_device(speed)

    quality = _add_command(kinds, "quality", "Score several methods on the same slices.", _benchmark_quality)
    quality.add_argument("pairs", type=Path, help="CSV file with rows source,target[,mask]")
    quality.add_argument("--output", type=Path, required=True, help="new folder, or one to go on with")
    quality.add_argument(
        "--methods",
        nargs="+",
        default=["identity", "sdedit-0.2", "sdedit-0.5", "lmidiffusion"],
        help="of identity, histogram-matching, sdedit-T with T in (0, 1], lmidiffusion,"
        " lmidiffusion-STEPSxSAMPLES[wGUIDANCE], lmidiffusion@CHECKPOINT",
    )
    quality.add_argument(
        "--target-scans", type=Path, help="folder of target-modality scans, whose histogram is matched"
    )
    quality.add_argument("--every", type=_positive, default=1, help="score every N-th slice")
    quality.add_argument("--devices", default="auto", help="how many, or which, as Lightning takes it")
    quality.add_argument("--nodes", type=_positive, default=1, help="machines")
    _add_sampling(quality)


def _benchmark_quality(parsed: argparse.Namespace) -> None:
    from .benchmark.evaluation import read_pairs
    from .benchmark.quality import QualityOptions, run_quality_benchmark

    options = QualityOptions(
        pairs=read_pairs(parsed.pairs),
        output=parsed.output,
        methods=parsed.methods,
        checkpoint=parsed.checkpoint,
        target_scans=parsed.target_scans,
        every=parsed.every,
        device=parsed.device,
        devices=parsed.devices,
        nodes=parsed.nodes,
        translation=_sampling(parsed),
    )
    table = run_quality_benchmark(options)
    if table is not None:
        print(table)


def _benchmark_speed(parsed: argparse.Namespace) -> None:
    from .benchmark.speed import run_speed_benchmark

    run_speed_benchmark(device_name=parsed.device, authors_code=parsed.authors_code)
