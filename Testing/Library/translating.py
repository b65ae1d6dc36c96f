"""Translations by a tiny checkpoint in three steps, as tests of its properties call them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from drawing import samples_in_plane
from numpy.typing import NDArray
from torch import Tensor

from LMIDiffusionLib.images.normalization import head_outlines, to_unit_scale
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.interface.progress import Progress
from LMIDiffusionLib.model.score_network import ScoreNetwork
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.running_moments import RunningMoments
from LMIDiffusionLib.translation.scan_pipeline import ScanResult, translate
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume
from LMIDiffusionLib.translation.translate_volume import translate_slices

Array = NDArray[np.number]
Forward = Callable[[ScoreNetwork, Tensor, Tensor, Tensor, float], Tensor]

STEPS = 3
MIDDLE = (9, 12)
CPU = torch.device("cpu")


def run(
    method: LMIDiffusion,
    volume: Volume,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    **options: Any,
) -> ScanResult:
    chosen = TranslationOptions(**{"steps": STEPS, "samples": 1, **options})
    return translate(volume, method, chosen, on_progress=on_progress)


def image(method: LMIDiffusion, volume: Volume, **options: Any) -> Array:
    return run(method, volume, **options).volume.array


def source_of(volume: Volume) -> SlicedVolume:
    return SlicedVolume.from_volume(volume, pixel_size=2.0)


def moments_of(method: LMIDiffusion, volume: Volume, **options: Any) -> RunningMoments:
    """Moments of the translation in the volume's own field of view."""
    chosen = TranslationOptions(**{"steps": STEPS, "samples": 1, **options})
    source = source_of(volume)
    return translate_slices(source, source.head_slices(chosen.slices), method, chosen)


def samples_of(method: LMIDiffusion, volume: Volume, **options: Any) -> Tensor:
    """Samples (K, S, 1, H, W) of the middle slices on the checkpoint's grid."""
    chosen = TranslationOptions(**{"steps": STEPS, "samples": 1, **options})
    return samples_in_plane(source_of(volume), list(range(*MIDDLE)), method, chosen)


def outline(volume: Volume) -> NDArray[np.bool_]:
    """Voxels of the middle slices of a canonical volume that are translated."""
    scaled = to_unit_scale(volume.array)
    return np.moveaxis(head_outlines(scaled, np.moveaxis(scaled, 2, 0)), 0, 2)[..., slice(*MIDDLE)]


def counted(
    monkeypatch: pytest.MonkeyPatch, refuse: Callable[[int, int], Exception | None] = lambda batch, call: None
) -> list[int]:
    """Batch sizes that the network is given from now on; `refuse` may answer a call with an exception."""
    batches: list[int] = []
    forward: Forward = ScoreNetwork.forward

    def watched(network: ScoreNetwork, noisy: Tensor, maps: Tensor, sigma: Tensor, pixel_size: float) -> Tensor:
        batches.append(len(noisy))
        error = refuse(len(noisy), len(batches))
        if error is not None:
            raise error
        return forward(network, noisy, maps, sigma, pixel_size)

    monkeypatch.setattr(ScoreNetwork, "forward", watched)
    return batches
