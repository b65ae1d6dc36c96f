"""`benchmark figure`: the middle slice of every pair as each method draws it, in the manner of the paper's figure 2."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from ..images.files import check_output
from ..interface.resources import DEFAULT_CHECKPOINT
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.devices import select_device
from ..translation.options import TranslationOptions
from .comparison_sheet import Row, rows_of, save_sheet
from .loaded_pair import OpenPair
from .pairs import Pair
from .registry import NamedMethod, Setup, find_method


@dataclass(frozen=True)
class FigureOptions:
    """What the user chooses; see `lmidiffusion benchmark figure --help`."""

    pairs: list[Pair]
    output: Path
    methods: list[str]
    checkpoint: str = DEFAULT_CHECKPOINT
    target_scans: Path | None = None
    device: str = "auto"
    overwrite: bool = False
    translation: TranslationOptions = TranslationOptions()


def draw_figure(options: FigureOptions) -> None:
    """Write a picture: columns of the source, the true target and every method; a slice, a close-up, classes by pair.

    Raises:
        UserError: the output stands in the way, or a method or a pair cannot be used.
    """
    check_output(options.output, overwrite=options.overwrite, endings=(".png", ".webp"))
    device = select_device(options.device)
    checkpoint = load_checkpoint(options.checkpoint)
    setup = Setup(checkpoint, options.translation, options.target_scans)
    methods = [find_method(name, setup) for name in options.methods]
    rows: list[Row] = []
    for pair in tqdm(options.pairs, unit="pair", disable=None):
        rows += _rows(pair, methods, checkpoint, device)
    save_sheet(options.output, ["source", "true target", *(method.title for method in methods)], rows)


def _rows(pair: Pair, methods: list[NamedMethod], checkpoint: Checkpoint, device: torch.device) -> list[Row]:
    opened = OpenPair.of(pair, pixel_size=checkpoint.pixel_size, every=1)
    index = opened.truth.indices[len(opened.truth.indices) // 2]
    slices = [each.slices[index, 0].numpy() for each in (opened.source, opened.target)]
    slices += [opened.drawn(method, [index], device)[0] for method in methods]
    return rows_of(f"{pair.name} ({index})", slices, checkpoint)
