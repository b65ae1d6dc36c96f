"""Contrasts by the signal equations of spin echoes: proton density, T2, FLAIR and T1 weighting.

Nothing here comes from scans of other modalities: tissues have relaxation times of the order known at 1.5 to 3 tesla,
varied widely, and repetition, echo and inversion times are drawn from ranges about those of common protocols.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .random_streams import Draws

# T1 and T2 in milliseconds, and proton density relative to water's.
RELAXATION: dict[str, tuple[float, float, float]] = {
    "ventricles": (4000, 1800, 1.0),
    "other fluid": (3800, 1200, 1.0),
    "cortex": (1250, 95, 0.85),
    "hippocampus and amygdala": (1250, 98, 0.85),
    "white matter": (800, 75, 0.70),
    "caudate": (1170, 84, 0.82),
    "putamen": (1130, 80, 0.82),
    "pallidum": (900, 62, 0.74),
    "thalamus": (1000, 80, 0.78),
    "cerebellar gray matter": (1200, 92, 0.83),
    "cerebellar white matter": (830, 76, 0.72),
    "brainstem": (870, 78, 0.73),
    "bone": (500, 5, 0.15),
    "dim": (1000, 25, 0.5),
    "muscle": (1150, 45, 0.8),
    "bright": (600, 70, 0.85),
    "fat": (330, 110, 0.95),
}
"""Relaxation of the anatomical classes; those outside the brain hold several tissues each."""
_FLUID = list(RELAXATION).index("ventricles")
# Classes of mixed tissue, whose T2 and density vary more.
_MIXED = [list(RELAXATION).index(name) for name in ("dim", "muscle", "bright", "fat")]
_MIXED_RANGES = ((0.6, 0.6), (1.5, 1.2))
_FAT_CONTENT = {"bright": 0.5, "fat": 1.0}
_SATURATED_SHARE = 0.3
_CORTEX = list(RELAXATION).index("cortex")
_FLUIDS = [_FLUID, list(RELAXATION).index("other fluid")]
_SHORT_ECHO, _LONG_REPETITION = 45.0, 1500.0  # milliseconds
_TUNED_SHARE, _DIFFERENCE = 0.5, 0.06


class Protocol(NamedTuple):
    """Ranges of the timing of a kind of sequence.

    Attributes:
        share: of the copies with contrasts of spin echoes.
        repetition: least and largest repetition time in milliseconds.
        echo: least and largest echo time in milliseconds.
        inverts: 1 if an inversion pulse suppresses fluid, else 0.
    """

    share: float
    repetition: tuple[float, float]
    echo: tuple[float, float]
    inverts: int


PROTOCOLS = {
    "PDw": Protocol(0.30, (1800, 5800), (8, 40), 0),
    "T2w": Protocol(0.30, (2200, 8200), (70, 130), 0),
    "FLAIR": Protocol(0.32, (6000, 11000), (80, 150), 1),
    "T1w": Protocol(0.08, (350, 850), (8, 20), 0),
}


def spin_echo_levels(images: Tensor, draws: Draws) -> Tensor:
    """Draw a spin echo for each of the slices (B, 1, H, W); return the intensities (B, T) in [0, 1] of `RELAXATION`."""
    t1, t2, density = _tissues(images, draws)
    repetition, echo, inverts = _timing(images, draws)
    off_null = 0.88 + 0.24 * draws.uniform(images, 1)
    relaxed = (-repetition / t1).exp()
    inversion = off_null * null_time(repetition, t1[:, _FLUID : _FLUID + 1])
    recovered = torch.where(inverts > 0, (1 - 2 * (-inversion / t1).exp() + relaxed).abs(), 1 - relaxed)
    signal = density * recovered * (-echo / t2).exp() * _fat_saturation(images, draws)
    signal = _with_fluid_like_cortex(signal, (echo < _SHORT_ECHO) & (repetition > _LONG_REPETITION), draws)
    return signal / signal.amax(1, keepdim=True) * (0.7 + 0.3 * draws.uniform(images, 1))


def _with_fluid_like_cortex(signal: Tensor, weights_density: Tensor, draws: Draws) -> Tensor:
    """Bring fluid within a few percent of cortex in half of the proton-density signals, as protocols are tuned."""
    chance, difference = draws.uniform(signal, 1), draws.normal(signal, len(_FLUIDS))
    alike = signal[:, _CORTEX : _CORTEX + 1] * (1 + _DIFFERENCE * difference)
    tuned = weights_density & (chance < _TUNED_SHARE)
    result = signal.clone()
    result[:, _FLUIDS] = torch.where(tuned, alike, signal[:, _FLUIDS])
    return result


def null_time(repetition: Tensor, t1: Tensor) -> Tensor:
    """Return the inversion time that nulls a tissue with that T1, for a repetition time; all in one unit."""
    return -t1 * (0.5 * (1 + (-repetition / t1).exp())).log()


def _timing(images: Tensor, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """Draw repetition and echo time in milliseconds, and a flag for suppressed fluid, each (B, 1)."""
    share, repetition, echo, inverts = (images.new_tensor(values) for values in zip(*PROTOCOLS.values(), strict=True))
    chance, long, late = draws.uniform(images, 3).split(1, 1)
    kind = (chance >= share.cumsum(0)).sum(1).clamp(max=len(share) - 1)
    repetition, echo = (
        least + (most - least) * at
        for (least, most), at in ((repetition[kind].t()[:, :, None], long), (echo[kind].t()[:, :, None], late))
    )
    return repetition, echo, inverts[kind][:, None]


def _tissues(images: Tensor, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """Draw T1, T2 and density (B, T) as they may be in one person and field."""
    t1, t2, density = images.new_tensor(list(RELAXATION.values())).t()
    field, rate = draws.uniform(images, 2).split(1, 1)
    spread = draws.normal(images, 3, len(RELAXATION))
    wide = images.new_ones(len(images), 2, len(RELAXATION))
    least, most = images.new_tensor(_MIXED_RANGES)[:, :, None]
    wide[:, :, _MIXED] = torch.lerp(least, most, draws.uniform(images, 2, len(_MIXED)))
    return (
        t1 * (0.75 + 0.4 * field) * (1 + 0.08 * spread[:, 0]),
        t2 * (0.8 + 0.35 * rate) * (1 + 0.08 * spread[:, 1]) * wide[:, 0],
        density * (1 + 0.04 * spread[:, 2]) * wide[:, 1],
    )


def _fat_saturation(images: Tensor, draws: Draws) -> Tensor:
    """Return the share (B, T) of the tissues' signal that fat suppression, used in some copies, leaves."""
    content = images.new_tensor([_FAT_CONTENT.get(name, 0.0) for name in RELAXATION])
    chance, left = draws.uniform(images, 2).split(1, 1)
    left = torch.where(chance < _SATURATED_SHARE, 0.05 + 0.45 * left, 1.0)
    return 1 - content * (1 - left)
