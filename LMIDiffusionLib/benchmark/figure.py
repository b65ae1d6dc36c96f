"""`benchmark figure`: the middle slice of every pair by each method, in the manner of the paper's figure 2."""

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
from .comparison_sheet import Row, comparison_rows, save_sheet
from .loaded_pair import LoadedPair
from .pairs import Pair
from .registry import NamedMethod, Setup, find_method


@dataclass(frozen=True)
class FigureOptions:
    """Choices of `lmidiffusion benchmark figure`; its `--help` explains them."""

    pairs: list[Pair]
    output: Path
    methods: list[str]
    checkpoint: str = DEFAULT_CHECKPOINT
    target_scans: Path | None = None
    device: str = "auto"
    overwrite: bool = False
    translation: TranslationOptions = TranslationOptions()


def draw_figure(options: FigureOptions) -> None:
    """Draw the source, the true target and every method in columns: for each pair a slice, a close-up and classes.

    Raises:
        UserError: the output exists and may not be replaced, or a method or a pair cannot be used.
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
    loaded = LoadedPair.from_pair(pair, pixel_size=checkpoint.pixel_size, every=1)
    index = loaded.truth.indices[len(loaded.truth.indices) // 2]
    slices = [each.slices[index, 0].numpy() for each in (loaded.source, loaded.target)]
    slices += [loaded.translate(method, [index], device).images[0] for method in methods]
    return comparison_rows(f"{pair.name} ({index})", slices, checkpoint)
