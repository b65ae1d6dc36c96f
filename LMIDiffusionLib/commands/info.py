"""`info`: description of a checkpoint."""

from __future__ import annotations

import argparse

from ..errors import printable
from ..interface.resources import DEFAULT_CHECKPOINT

SUMMARY = "Describe a checkpoint."
EXAMPLE = "lmidiffusion info t1w-ixi-2mm-lmi-intensity"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", nargs="?", default=DEFAULT_CHECKPOINT, help="name or path")


def run(parsed: argparse.Namespace) -> None:
    from ..model.checkpoint import load_checkpoint
    from ..translation.draws import ERROR_DRAWS, ERROR_FACTOR, ERROR_FITTED_ON

    checkpoint = load_checkpoint(parsed.checkpoint)
    parameters = sum(weight.numel() for weight in checkpoint.weights.values())
    metadata = checkpoint.metadata()
    recipe = metadata.pop("recipe") or {}
    metadata["expected_error"] = (
        f"{ERROR_FACTOR:g} x the root mean square distance of {ERROR_DRAWS.samples} draws of {ERROR_DRAWS.steps} steps"
        f" from the translation; factor fitted on {ERROR_FITTED_ON}"
    )
    files = recipe.pop("files", {})
    if files:
        recipe["files"] = f"{len(files)}, by name and hash in the file's header"
    for name, value in {"parameters": f"{parameters:,}", **metadata, **recipe}.items():
        if value is None or value == "":
            continue
        print(printable(f"{name.replace('_', ' '):<16} {value}"))
