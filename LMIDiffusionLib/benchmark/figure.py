"""`benchmark figure`: the middle slice of every pair by each method, in the manner of the paper's figure 2."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tqdm import tqdm

from ..images.files import check_output
from ..model.checkpoint import Checkpoint
from ..model.devices import select_device
from .comparison import ComparisonOptions
from .comparison_sheet import Row, comparison_rows, save_sheet
from .loaded_pair import LoadedPair
from .pairs import Pair
from .registry import NamedMethod


@dataclass(frozen=True, kw_only=True)
class FigureOptions(ComparisonOptions):
    """Choices of `lmidiffusion benchmark figure`; its `--help` explains them."""

    overwrite: bool = False


def draw_figure(options: FigureOptions) -> None:
    """Draw the source, the true target and every method in columns: for each pair a slice, a close-up and classes.

    Raises:
        UserError: the output exists and may not be replaced, or a method or a pair cannot be used.
    """
    check_output(options.output, overwrite=options.overwrite, endings=(".png", ".webp"))
    device = select_device(options.device)
    checkpoint, methods = options.load()
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
