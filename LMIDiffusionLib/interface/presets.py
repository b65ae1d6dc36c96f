"""Qualities of a translation to choose from: how much time to spend, and on what.

The standard library is enough to read them, so that a program without PyTorch can offer them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A quality.

    Attributes:
        sampler: name in `samplers.SAMPLERS`.
        steps: network evaluations a sample.
        samples: how many are averaged.
    """

    sampler: str
    steps: int
    samples: int


PRESETS = {
    "fast": Preset("dpm-solver++", steps=1, samples=1),
    # Two in the plane of the scan's own slices and one in each of the others.
    "balanced": Preset("dpm-solver++", steps=1, samples=4),
    # All contrasts of the source in its own plane: further samples bring nothing.
    "best": Preset("dpm-solver++", steps=1, samples=8),
    "paper": Preset("euler-maruyama", steps=1000, samples=1),
}
"""By name, from the quickest to the slowest."""

DEFAULT_PRESET = "balanced"
