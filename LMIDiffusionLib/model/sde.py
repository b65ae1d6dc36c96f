"""The variance-exploding SDE that carries target-modality slices into noise (Song et al. 2021; eq. 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class VarianceExplodingSDE:
    """dF = sqrt(d sigma^2 / dt) dw with sigma(t) = sigma_min (sigma_max / sigma_min)^t, t in [0, 1].

    Noise levels are in units of image intensity; slices lie in [0, 1].
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"expected 0 < sigma_min < sigma_max, not {self.sigma_min} and {self.sigma_max}")

    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the perturbation kernel p(F_t | F_0) = N(F_0, sigma(t)^2)."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def noise_levels(self, steps: int, *, start: float = 1.0) -> Tensor:
        """`steps` noise levels (float64), equally spaced in t from sigma(start) to sigma_min; one is the first."""
        if steps < 1:
            raise ValueError(f"at least 1 step is needed, not {steps}")
        return self.sigma(torch.linspace(start, 0, steps, dtype=torch.float64))


def score(noisy: Tensor, denoised: Tensor, sigma: Tensor | float) -> Tensor:
    """Score of p(F_t) from the denoised estimate E[F_0 | F_t] (Tweedie's formula)."""
    return (denoised - noisy) / sigma**2


def largest_distance(slices: Tensor) -> float:
    """Largest Euclidean distance between two slices (N, ...), the sigma_max that Song and Ermon (2020) advise."""
    flat = slices.flatten(1)
    return float(torch.cdist(flat, flat).max())
