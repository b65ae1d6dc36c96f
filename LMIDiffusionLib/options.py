"""How a volume is translated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import UserError
from .samplers import SAMPLERS, Sampler


@dataclass(frozen=True)
class TranslationOptions:
    """How a volume is translated.

    Attributes:
        sampler: name in `samplers.SAMPLERS`.
        steps: denoiser evaluations a sample; None for the sampler's default.
        samples: how many are averaged, each of its own view of the source (`test_time_augmentation.sample_view`).
        guidance: weight of the condition, 1 for plain conditional sampling.
        slices: axial slices [first, stop) from the feet up; None for all.
        batch_size: slices at once; None fits the device. Halved when memory runs out.
        seed: of the noise.
    """

    sampler: str = "dpm-solver++"
    steps: int | None = None
    samples: int = 1
    guidance: float = 1.0
    slices: tuple[int, int] | None = None
    batch_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise UserError(f"There is no sampler {self.sampler}; choose one of {', '.join(SAMPLERS)}.")
        for name, value, least in (
            ("steps", self.steps, 2),
            ("samples", self.samples, 1),
            ("batch size", self.batch_size, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise UserError(f"The {name} cannot be {value}; give {least} or more.")
        if not math.isfinite(self.guidance):
            raise UserError(f"The guidance cannot be {self.guidance}; give a number, 1 for plain sampling.")

    def solver(self) -> tuple[Sampler, int]:
        """The sampler and its number of steps."""
        sampler = SAMPLERS[self.sampler]
        return sampler, self.steps or sampler.default_steps
