"""Options of a translation."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import UserError
from ..interface.presets import DEFAULT_PRESET, PRESETS, Preset
from ..model.samplers import SAMPLERS, Sampler


class Extra(Enum):
    """A result beside the translation that takes draws."""

    EXPECTED_ERROR = "expected error"
    """A map of the expected error, and its mean over the head."""
    MEAN_EXPECTED_ERROR = "mean expected error"
    """The mean of the expected error over the head, from a few slices."""
    SAMPLE = "sample"
    """One draw."""


@dataclass(frozen=True)
class TranslationOptions:
    """Sampler, samples and slices of a translation; the defaults are the preset "balanced".

    Attributes:
        sampler: name in `samplers.SAMPLERS`.
        steps: denoiser evaluations a sample; None for the sampler's default.
        samples: number of samples that are averaged, each in its own plane (`multiplanar`) or view
            (`test_time_augmentation`).
        guidance: weight of the condition; 1 for plain conditional sampling.
        slices: axial slices [first, stop) from the feet up; None for all.
        batch_size: slices at once; None fits the device. Halved when memory runs out.
        seed: random seed of the noise.
    """

    sampler: str = PRESETS[DEFAULT_PRESET].sampler
    steps: int | None = None
    samples: int = PRESETS[DEFAULT_PRESET].samples
    guidance: float = 1.0
    slices: tuple[int, int] | None = None
    batch_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise UserError(f"There is no sampler {self.sampler}; choose one of {', '.join(SAMPLERS)}.")
        for name, value, least in (
            ("steps", self.steps, 1),
            ("samples", self.samples, 1),
            ("batch size", self.batch_size, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise UserError(f"The {name} cannot be {value}; give {least} or more.")
        if not math.isfinite(self.guidance):
            raise UserError(f"The guidance cannot be {self.guidance}; give a number, 1 for plain sampling.")

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> TranslationOptions:
        """Return the options of a preset with some changes; a changed sampler takes its own number of steps.

        Raises:
            UserError: there is no such preset, or a change makes no sense.
        """
        if name not in PRESETS:
            raise UserError(f"There is no quality {name}; choose one of {', '.join(PRESETS)}.")
        preset = dataclasses.asdict(PRESETS[name])
        if changes.get("sampler", preset["sampler"]) != preset["sampler"]:
            del preset["steps"]
        return cls(**{**preset, **changes})

    @property
    def quality(self) -> str:
        """Name of the preset in words, or sampler, steps and samples where no preset has them."""
        own = Preset(self.sampler, self.solver()[1], self.samples)
        named = next((f"quality {name}" for name, preset in PRESETS.items() if preset == own), None)
        return named or f"{own.sampler}, {own.steps} x {own.samples} (steps x samples)"

    def solver(self) -> tuple[Sampler, int]:
        """Return the sampler and its number of steps."""
        sampler = SAMPLERS[self.sampler]
        return sampler, self.steps or sampler.default_steps
