"""`train-stylegan`: train a StyleGAN2-ADA, whose inversion is a baseline."""

from __future__ import annotations

import argparse

from ..arguments import positive
from .arguments import add_data, add_description, add_fit, add_folders, add_option, described, run_training

SUMMARY = "Train a StyleGAN2-ADA on scans of the target modality alone; its inversion is a baseline."
EXAMPLE = "lmidiffusion train-stylegan scans/ --output runs/stylegan"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ...baselines.training.options import STYLEGAN_FIT, StyleGANOptions

    default = StyleGANOptions()
    add_folders(parser)
    add_data(parser.add_argument_group("data"))
    model = parser.add_argument_group("model")
    add_description(model, default)
    channels = "channels at 4, 8, 16, ... pixels; five numbers make images of 64 x 64 pixels and 224 x 224 mm"
    add_option(model, default.networks, "channels", type=positive, nargs="+", help=channels)
    add_fit(parser, STYLEGAN_FIT)


def run(parsed: argparse.Namespace) -> None:
    from ...baselines.stylegan.generator import StyleGANSettings
    from ...baselines.training.options import StyleGANOptions
    from ...baselines.training.stylegan import train_stylegan

    networks = StyleGANSettings(channels=tuple(parsed.channels))
    run_training(parsed, train_stylegan, options=StyleGANOptions(networks=networks, **described(parsed)))
