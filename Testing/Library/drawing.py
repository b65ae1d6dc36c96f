"""Samples on the checkpoint's grid, as several test modules compare them."""

import torch
from torch import Tensor

from LMIDiffusionLib.interface.progress import Clock
from LMIDiffusionLib.translation.multiplanar import Cut
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.sliced_volume import SlicedSource
from LMIDiffusionLib.translation.translate_volume import draw
from LMIDiffusionLib.translation.translator import Method


def samples_in_plane(source: SlicedSource, indices: list[int], method: Method, options: TranslationOptions) -> Tensor:
    """All samples (K, S, 1, H, W) of some slices in the plane of the source."""
    cut = Cut(source.grid.plane, indices, options.samples)
    batches = draw(
        source,
        cut,
        method,
        options,
        Clock(slices=len(indices), steps=method.steps(options), samples=len(indices) * cut.samples),
    )
    return torch.cat([batch.samples for batch in batches], 1)
