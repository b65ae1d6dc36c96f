"""Quality presets, and the names of what they set."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from slicer.i18n import tr as _


class Sampler(Enum):
    """Values are the names that the library's command takes."""

    DPM_SOLVER = "dpm-solver++"
    EULER_MARUYAMA = "euler-maruyama"

    def label(self) -> str:
        return {
            Sampler.DPM_SOLVER: _("DPM-Solver++ (fast)"),
            Sampler.EULER_MARUYAMA: _("Euler-Maruyama (the paper's)"),
        }[self]


class Clusters(Enum):
    FIVE = 5
    THREE = 3

    def label(self) -> str:
        return str(self.value)


class Quality(Enum):
    FAST = "fast"
    BALANCED = "balanced"
    BEST = "best"
    CUSTOM = "custom"

    def label(self) -> str:
        return {
            Quality.FAST: _("Fast"),
            Quality.BALANCED: _("Balanced"),
            Quality.BEST: _("Best"),
            Quality.CUSTOM: _("Custom"),
        }[self]


@dataclass(frozen=True)
class Preset:
    sampler: Sampler
    steps: int
    samples: int


PRESETS = {
    Quality.FAST: Preset(Sampler.DPM_SOLVER, steps=2, samples=1),
    Quality.BALANCED: Preset(Sampler.DPM_SOLVER, steps=2, samples=4),
    Quality.BEST: Preset(Sampler.DPM_SOLVER, steps=2, samples=8),
}
