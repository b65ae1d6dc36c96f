"""Presets of a translation, from quick to slow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Sampler, steps and samples of a translation.

    Attributes:
        sampler: name in `samplers.SAMPLERS`.
        steps: network evaluations per sample.
        samples: number of samples that are averaged.
    """

    sampler: str
    steps: int
    samples: int


PRESETS = {
    "fast": Preset("dpm-solver++", steps=1, samples=1),
    # Two in the plane of the scan's own slices and one in each of the others.
    "balanced": Preset("dpm-solver++", steps=1, samples=4),
    # All views in the scan's own plane; further samples add nothing.
    "best": Preset("dpm-solver++", steps=1, samples=8),
    "paper": Preset("euler-maruyama", steps=1000, samples=1),
}
"""Presets by name, from the quickest to the slowest."""

DEFAULT_PRESET = "balanced"

PRECISIONS = ("auto", "32", "bf16")
"""Precisions by name; `auto` is bfloat16 on processors that multiply it faster than float32, else float32."""
