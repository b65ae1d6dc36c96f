"""Arguments that the commands which train have in common."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ...images.planes import PLANES
from ...training.options import DataOptions, FitOptions, ModelOptions
from ..arguments import add_spread, positive, positive_real

_Options = TypeVar("_Options", DataOptions, ModelOptions, FitOptions)


def add_u_net_training(parser: argparse.ArgumentParser, default: ModelOptions, *, maps: Sequence[str]) -> None:
    """Everything of a command that trains a U-Net on copies in other contrasts; `maps` are those that it can have."""
    add_folders(parser)
    data = parser.add_argument_group("data")
    add_data(data)
    _add_planes(data)
    add_model(parser.add_argument_group("model"), default, maps=maps)
    _add_contrast(add_fit(parser, FitOptions()), FitOptions())


def run_u_net_training(parsed: argparse.Namespace, train: Callable[..., Path]) -> None:
    """Call `train` with what was chosen."""
    path = train(
        parsed.data,
        parsed.output,
        reading=chosen(DataOptions, parsed),
        model=chosen(ModelOptions, parsed),
        fit=chosen(FitOptions, parsed),
        resume=parsed.resume,
    )
    print(f"Wrote {path}")


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the folders of the scans and of the training."""
    parser.add_argument("data", type=Path, help="folder of NAME_<modality>.nii.gz files")
    parser.add_argument("--output", type=Path, required=True, help="folder for logs, pictures and the checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue the training in --output")


def add_data(group: argparse._ArgumentGroup) -> None:
    """Add the options that select and prepare the scans."""
    default = DataOptions()
    group.add_argument(
        "--modality", default=default.modality, metavar="NAME", help="target modality, as in the file names"
    )
    group.add_argument(
        "--brain-suffix",
        dest="brain_suffixes",
        nargs="+",
        default=[*default.brain_suffixes],
        metavar="SUFFIX",
        help="brain masks NAME_<suffix>.nii.gz, the first that exists",
    )
    group.add_argument(
        "--label-suffix",
        default=default.label_suffix,
        metavar="SUFFIX",
        help="label maps NAME_<suffix>.nii.gz drawn on the scans, if any (DLMUSE labels are known)",
    )
    group.add_argument(
        "--tissue-levels",
        type=positive_real,
        nargs=4,
        default=default.tissue_levels,
        metavar=("FLUID", "GRAY", "WHITE", "SCALP"),
        help="intensities of these in targets with DLMUSE labels or a brain mask",
    )
    group.add_argument(
        "--pixel-size",
        type=positive_real,
        default=default.pixel_size,
        metavar="MM",
        help="side of a pixel in millimeters",
    )
    group.add_argument(
        "--correct-bias",
        action=argparse.BooleanOptionalAction,
        default=default.correct_bias,
        help="correct the bias field first (N4)",
    )
    group.add_argument(
        "--held-out", type=positive, default=default.held_out, metavar="N", help="number of subjects for validation"
    )


def _add_planes(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--planes",
        nargs="+",
        choices=list(PLANES),
        default=[*DataOptions().planes],
        help="planes of the slices, axial first; translation uses the same",
    )


def add_description(group: argparse._ArgumentGroup, default: ModelOptions) -> None:
    """What the checkpoint says of itself."""
    group.add_argument("--name", default=default.name, help="name of the exported checkpoint")
    group.add_argument(
        "--training-data", default="", metavar="TEXT", help="description of the data, stored in the checkpoint"
    )
    group.add_argument("--license", default="", metavar="TEXT", help="license of the weights, stored in the checkpoint")


def add_model(group: argparse._ArgumentGroup, default: ModelOptions, *, maps: Sequence[str]) -> None:
    """What is trained, where it is a U-Net; `maps` are those that it can have."""
    from ...model.checkpoint import KERNELS

    add_description(group, default)
    group.add_argument(
        "--maps",
        nargs="+",
        default=[*default.maps],
        metavar="MAP",
        help=f"maps that steer the network: {', '.join(maps)}",
    )
    group.add_argument(
        "--patch-sizes",
        type=positive,
        nargs="+",
        default=[*default.patch_sizes],
        metavar="PIXELS",
        help="sides of the LMI patches",
    )
    group.add_argument(
        "--search-size",
        type=positive,
        default=default.search_size,
        metavar="PIXELS",
        help="side of the LMI search window",
    )
    group.add_argument("--kernel", choices=list(KERNELS), default=default.kernel, help="kernel of the LMI")
    group.add_argument("--start-from", metavar="NAME_OR_PATH", help="checkpoint that training starts from")
    group.add_argument(
        "--channels",
        type=positive,
        nargs="+",
        default=[*default.channels],
        metavar="N",
        help="channels of the U-Net's levels",
    )
    group.add_argument("--blocks", type=positive, default=default.blocks, metavar="N", help="residual blocks per level")


def _add_contrast(group: argparse._ArgumentGroup, default: FitOptions) -> None:
    """In which contrasts a U-Net sees the slices."""
    from ...training.augmentation import AUGMENTATIONS

    group.add_argument(
        "--contrast",
        choices=list(AUGMENTATIONS),
        default=default.contrast,
        help="random contrasts in which the network sees the slices",
    )


def add_fit(parser: argparse.ArgumentParser, default: FitOptions) -> argparse._ArgumentGroup:
    """Add how it is trained, in the groups training and hardware; return the former."""
    group = parser.add_argument_group("training")
    group.add_argument("--steps", type=positive, default=default.steps, metavar="N", help="number of optimizer steps")
    group.add_argument(
        "--steps-per-epoch",
        type=positive,
        default=default.steps_per_epoch,
        metavar="N",
        help="steps between saved states",
    )
    group.add_argument(
        "--batch-size", type=positive, default=default.batch_size, metavar="N", help="slices per step and device"
    )
    group.add_argument(
        "--learning-rate",
        type=positive_real,
        default=default.learning_rate,
        metavar="RATE",
        help="peak of the schedule",
    )
    group.add_argument(
        "--seed", type=int, default=default.seed, metavar="N", help="random seed (does not change the split)"
    )
    hardware = parser.add_argument_group("hardware")
    add_spread(hardware)
    hardware.add_argument(
        "--precision",
        default=default.precision,
        help="precision of Lightning, such as bf16-mixed; auto: bf16-mixed where the device has it",
    )
    hardware.add_argument(
        "--workers", type=int, default=default.workers, metavar="N", help="processes that read slices"
    )
    return group


def chosen(kind: type[_Options], parsed: argparse.Namespace) -> _Options:
    """Options of one kind out of all that were parsed; lists become the tuples that options hold."""
    names = {field.name for field in dataclasses.fields(kind)}
    given = {name: value for name, value in vars(parsed).items() if name in names}
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return kind(**values)
