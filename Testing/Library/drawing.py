"""Samples on the checkpoint's grid, as several test modules compare them."""

import torch
from torch import Tensor

from LMIDiffusionLib.interface.progress import Clock
from LMIDiffusionLib.translation.multiplanar import PlaneSamples
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume
from LMIDiffusionLib.translation.translate_volume import sample_batches
from LMIDiffusionLib.translation.translator import Translator


def samples_in_plane(
    source: SlicedVolume, indices: list[int], method: Translator, options: TranslationOptions
) -> Tensor:
    """All samples (K, S, 1, H, W) of some slices in the plane of the source."""
    part = PlaneSamples(source.grid.plane, indices, options.samples)
    batches = sample_batches(
        source,
        part,
        method,
        options,
        Clock(slices=len(indices), steps=method.steps(options), samples=len(indices) * part.samples),
    )
    return torch.cat([batch.samples for batch in batches], 1)
