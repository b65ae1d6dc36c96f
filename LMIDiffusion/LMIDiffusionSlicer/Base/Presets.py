"""Choices that the panel offers, and the library's presets of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from slicer.i18n import tr as _

from LMIDiffusionLib.interface import presets

# The name of the device that the library chooses by itself.
AUTOMATIC = "auto"


class Sampler(Enum):
    """Samplers, by the names that the library's command takes."""

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
    """Presets, by the library's names."""

    FAST = "fast"
    BALANCED = "balanced"
    BEST = "best"
    PAPER = "paper"
    CUSTOM = "custom"

    def label(self) -> str:
        return {
            Quality.FAST: _("Fast"),
            Quality.BALANCED: _("Balanced"),
            Quality.BEST: _("Best"),
            Quality.PAPER: _("The paper's (very slow)"),
            Quality.CUSTOM: _("Custom"),
        }[self]


class ViewMode(Enum):
    BLENDED = "blended"
    SIDE_BY_SIDE = "sideBySide"

    def label(self) -> str:
        return {ViewMode.BLENDED: _("Blended"), ViewMode.SIDE_BY_SIDE: _("Side by side")}[self]


class SegmentStyle(Enum):
    OUTLINES = "outlines"
    FILLED = "filled"

    def label(self) -> str:
        return {SegmentStyle.OUTLINES: _("Outlines"), SegmentStyle.FILLED: _("Filled")}[self]


@dataclass(frozen=True)
class Preset:
    sampler: Sampler
    steps: int
    samples: int


PRESETS = {
    quality: Preset(Sampler(preset.sampler), preset.steps, preset.samples)
    for quality in Quality
    if (preset := presets.PRESETS.get(quality.value)) is not None
}
DEFAULT_QUALITY = Quality(presets.DEFAULT_PRESET)
