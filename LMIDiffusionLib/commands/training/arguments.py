"""Arguments that the commands which train have in common."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ...images.planes import PLANES
from ...training.options import DataOptions, FitOptions, ModelOptions
from ..arguments import positive, positive_real

_Options = TypeVar("_Options", DataOptions, ModelOptions, FitOptions)


def add_u_net_training(parser: argparse.ArgumentParser, default: ModelOptions, *, maps: Sequence[str]) -> None:
    """Everything of a command that trains a U-Net on copies in other contrasts; `maps` are those that it can have."""
    add_folders(parser)
    data = parser.add_argument_group("data")
    add_data(data)
    _add_planes(data)
    add_model(parser.add_argument_group("model"), default, maps=maps)
    fit = parser.add_argument_group("training")
    add_contrast(fit, FitOptions())
    add_fit(fit, FitOptions())


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
    """Where the scans are and where the training goes."""
    parser.add_argument("data", type=Path, help="folder of NAME_<modality>.nii.gz files")
    parser.add_argument("--output", type=Path, required=True, help="folder for logs, pictures and the checkpoint")
    parser.add_argument("--resume", action="store_true", help="go on where the training in --output was stopped")


def add_data(group: argparse._ArgumentGroup) -> None:
    """What is read of the folder of scans."""
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
        type=positive_real,
        nargs=4,
        metavar=("FLUID", "GREY", "WHITE", "SCALP"),
        help="intensities that these get in targets with DLMUSE labels or a brain mask; as scanned if not given",
    )
    group.add_argument("--pixel-size", type=positive_real, default=default.pixel_size, help="in-plane, in millimetres")
    group.add_argument("--correct-bias", action="store_true", help="remove the coils' shading first (N4)")
    group.add_argument("--held-out", type=positive, default=default.held_out, help="subjects for validation")


def _add_planes(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--planes",
        nargs="+",
        choices=list(PLANES),
        default=[*DataOptions().planes],
        help="in which the scans are cut, axial first; translation uses the same",
    )


def add_description(group: argparse._ArgumentGroup, default: ModelOptions) -> None:
    """What the checkpoint says of itself."""
    group.add_argument("--name", default=default.name, help="of the exported checkpoint file")
    group.add_argument("--training-data", default="", help="what the data are, for the checkpoint's description")
    group.add_argument("--licence", default="", help="of the weights, for the checkpoint's description")


def add_model(group: argparse._ArgumentGroup, default: ModelOptions, *, maps: Sequence[str]) -> None:
    """What is trained, where it is a U-Net; `maps` are those that it can have."""
    from ...model.checkpoint import KERNELS

    add_description(group, default)
    group.add_argument("--maps", nargs="+", default=[*default.maps], help=f"that steer the network: {', '.join(maps)}")
    group.add_argument(
        "--patch-sizes", type=positive, nargs="+", default=[*default.patch_sizes], help="sides of the LMI's patches"
    )
    group.add_argument(
        "--search-size", type=positive, default=default.search_size, help="side of the LMI's search window"
    )
    group.add_argument("--kernel", choices=list(KERNELS), default=default.kernel, help="of the LMI")
    group.add_argument("--start-from", metavar="NAME_OR_PATH", help="checkpoint whose weights training starts with")
    group.add_argument(
        "--channels", type=positive, nargs="+", default=[*default.channels], help="features of the U-Net's levels"
    )
    group.add_argument("--blocks", type=positive, default=default.blocks, help="residual blocks a level")


def add_contrast(group: argparse._ArgumentGroup, default: FitOptions) -> None:
    """In which contrasts a U-Net sees the slices."""
    from ...training.augmentation import AUGMENTATIONS

    group.add_argument(
        "--contrast",
        choices=list(AUGMENTATIONS),
        default=default.contrast,
        help="of the copies the maps are made of",
    )


def add_fit(group: argparse._ArgumentGroup, default: FitOptions) -> None:
    """How it is trained."""
    group.add_argument("--steps", type=positive, default=default.steps, help="optimiser steps in all")
    group.add_argument(
        "--steps-per-epoch",
        type=positive,
        default=default.steps_per_epoch,
        help="steps between two states to resume from",
    )
    group.add_argument("--batch-size", type=positive, default=default.batch_size, help="slices a step and device")
    group.add_argument(
        "--learning-rate", type=positive_real, default=default.learning_rate, help="largest of the schedule"
    )
    group.add_argument(
        "--seed", type=int, default=default.seed, help="of all that is random; the split does not depend on it"
    )
    group.add_argument("--devices", default=default.devices, help="how many, or which, as Lightning takes it")
    group.add_argument("--nodes", type=positive, default=default.nodes, help="machines")
    group.add_argument(
        "--precision",
        default=default.precision,
        help="as Lightning takes it; auto: bf16-mixed where the device has it",
    )
    group.add_argument("--workers", type=int, default=default.workers, help="processes that read slices")


def chosen(kind: type[_Options], parsed: argparse.Namespace) -> _Options:
    """Options of one kind out of all that were parsed; lists become the tuples that options hold."""
    names = {field.name for field in dataclasses.fields(kind)}
    given = {name: value for name, value in vars(parsed).items() if name in names}
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return kind(**values)
