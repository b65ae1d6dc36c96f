"""Arguments that the commands which train have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ...images.planes import PLANES
from ...training.options import DataOptions, Description, FitOptions, ModelOptions
from ..arguments import add_spread, fields_of, positive, positive_real

_Options = TypeVar("_Options", DataOptions, ModelOptions, FitOptions)


def add_u_net_training(parser: argparse.ArgumentParser, default: ModelOptions, *, maps: Sequence[str]) -> None:
    """Add all arguments of a command that trains a U-Net, whose condition maps are some of `maps`."""
    from ...training.augmentation import AUGMENTATIONS

    add_folders(parser)
    data = parser.add_argument_group("data")
    add_data(data)
    planes = "planes of the slices, axial first; translation uses the same"
    add_option(data, DataOptions(), "planes", nargs="+", choices=list(PLANES), help=planes)
    _add_model(parser.add_argument_group("model"), default, maps=maps)
    contrasts = "random contrasts in which the network sees the slices"
    add_option(add_fit(parser, FitOptions()), FitOptions(), "contrast", choices=list(AUGMENTATIONS), help=contrasts)


def run_u_net_training(parsed: argparse.Namespace, train: Callable[..., Path]) -> None:
    """Call `train` with the options on the command line."""
    run_training(parsed, train, model=chosen(ModelOptions, parsed))


def run_training(parsed: argparse.Namespace, train: Callable[..., Path], **options: Any) -> None:
    """Call `train` with the folders, data and fit on the command line, and with further options."""
    reading, fit = chosen(DataOptions, parsed), chosen(FitOptions, parsed)
    path = train(parsed.data, parsed.output, reading=reading, fit=fit, resume=parsed.resume, **options)
    print(f"Wrote {path}")


def add_option(group: argparse._ActionsContainer, default: Any, field: str, *, flag: str = "", **settings: Any) -> None:
    """Add the option of a field, with the field's default.

    Args:
        group: to add it to.
        default: dataclass with the field.
        field: name of the field.
        flag: name of the option; empty for that of the field.
        settings: further arguments of `add_argument`.
    """
    value = getattr(default, field)
    group.add_argument(
        flag or f"--{field.replace('_', '-')}",
        dest=field,
        default=[*value] if isinstance(value, tuple) else value,
        **settings,
    )


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the folders of the scans and of the training."""
    parser.add_argument("data", type=Path, help="folder of NAME_<modality>.nii.gz files")
    parser.add_argument("--output", type=Path, required=True, help="folder for logs, pictures and the checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue the training in --output")


def add_data(group: argparse._ArgumentGroup) -> None:
    """Add the options that select and prepare the scans."""
    default = DataOptions()
    add_option(group, default, "modality", metavar="NAME", help="target modality, as in the file names")
    masks = "brain masks NAME_<suffix>.nii.gz, the first that exists"
    add_option(group, default, "brain_suffixes", flag="--brain-suffix", nargs="+", metavar="SUFFIX", help=masks)
    labels = "label maps NAME_<suffix>.nii.gz drawn on the scans, if any (DLMUSE labels are known)"
    add_option(group, default, "label_suffix", metavar="SUFFIX", help=labels)
    add_option(
        group,
        default,
        "tissue_levels",
        type=positive_real,
        nargs=4,
        metavar=("FLUID", "GRAY", "WHITE", "SCALP"),
        help="intensities of these in targets with DLMUSE labels or a brain mask",
    )
    side = "side of a pixel in millimeters"
    add_option(group, default, "pixel_size", type=positive_real, metavar="MM", help=side)
    bias = "correct the bias field first (N4)"
    add_option(group, default, "correct_bias", action=argparse.BooleanOptionalAction, help=bias)
    add_option(group, default, "held_out", type=positive, metavar="N", help="number of subjects for validation")


def add_description(group: argparse._ArgumentGroup, default: Description) -> None:
    """Add the name and description of the checkpoint."""
    add_option(group, default, "name", help="name of the exported checkpoint")
    data = "description of the data, stored in the checkpoint"
    add_option(group, default, "training_data", metavar="TEXT", help=data)
    add_option(group, default, "license", metavar="TEXT", help="license of the weights, stored in the checkpoint")


def _add_model(group: argparse._ArgumentGroup, default: ModelOptions, *, maps: Sequence[str]) -> None:
    from ...model.checkpoint import KERNELS

    add_description(group, default)
    steering = f"maps that steer the network: {', '.join(maps)}"
    add_option(group, default, "maps", nargs="+", metavar="MAP", help=steering)
    patches = "sides of the LMI patches"
    add_option(group, default, "patch_sizes", type=positive, nargs="+", metavar="PIXELS", help=patches)
    add_option(group, default, "search_size", type=positive, metavar="PIXELS", help="side of the LMI search window")
    add_option(group, default, "kernel", choices=list(KERNELS), help="kernel of the LMI")
    add_option(group, default, "start_from", metavar="NAME_OR_PATH", help="checkpoint that training starts from")
    add_option(group, default, "channels", type=positive, nargs="+", metavar="N", help="channels of the U-Net's levels")
    add_option(group, default, "blocks", type=positive, metavar="N", help="residual blocks per level")


def add_fit(parser: argparse.ArgumentParser, default: FitOptions) -> argparse._ArgumentGroup:
    """Add the options of the optimization and of the hardware; return the group of the former."""
    group = parser.add_argument_group("training")
    add_option(group, default, "steps", type=positive, metavar="N", help="number of optimizer steps")
    add_option(group, default, "steps_per_epoch", type=positive, metavar="N", help="steps between saved states")
    add_option(group, default, "batch_size", type=positive, metavar="N", help="slices per step and device")
    add_option(group, default, "learning_rate", type=positive_real, metavar="RATE", help="peak of the schedule")
    add_option(group, default, "seed", type=int, metavar="N", help="random seed (does not change the split)")
    hardware = parser.add_argument_group("hardware")
    add_spread(hardware)
    precision = "precision of Lightning, such as bf16-mixed; auto: bf16-mixed where the device has it"
    add_option(hardware, default, "precision", help=precision)
    add_option(hardware, default, "workers", type=int, metavar="N", help="processes that read slices")
    return group


def chosen(kind: type[_Options], parsed: argparse.Namespace) -> _Options:
    """Return the options of one kind out of all on the command line; lists become the tuples that options hold."""
    return kind(**_values(kind, parsed))


def described(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of the checkpoint's description out of all options on the command line."""
    return _values(Description, parsed)


def _values(kind: type, parsed: argparse.Namespace) -> dict[str, Any]:
    given = fields_of(kind, parsed)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
