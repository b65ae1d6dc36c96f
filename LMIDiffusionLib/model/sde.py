"""Variance-exploding SDE from target-modality slices to noise (Song et al. 2021; eq. 2 and 3 of arXiv 2404.01102)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class VarianceExplodingSDE:
    """Variance-exploding SDE dF = sqrt(d sigma^2 / dt) dw, sigma(t) = sigma_min (sigma_max / sigma_min)^t, t in [0, 1].

    Attributes:
        sigma_min: noise level at t = 0, in units of image intensity; slices lie in [0, 1].
        sigma_max: noise level at t = 1.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"expected 0 < sigma_min < sigma_max, not {self.sigma_min} and {self.sigma_max}")

    def sigma(self, t: Tensor) -> Tensor:
        """Return the standard deviation of the perturbation kernel p(F_t | F_0) = N(F_0, sigma(t)^2)."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def noise_levels(self, steps: int, *, start: float = 1.0) -> Tensor:
        """Return `steps` noise levels (float64) at equal steps of t from sigma(start) down to sigma_min.

        A single level is sigma(start).

        Raises:
            ValueError: `steps` is not positive.
        """
        if steps < 1:
            raise ValueError(f"at least 1 step is needed, not {steps}")
        return self.sigma(torch.linspace(start, 0, steps, dtype=torch.float64, device="cpu"))


def score(noisy: Tensor, denoised: Tensor, sigma: Tensor | float) -> Tensor:
    """Return the score of p(F_t) from the denoised estimate E[F_0 | F_t] (Tweedie's formula)."""
    return (denoised - noisy) / sigma**2


def largest_distance(slices: Tensor) -> float:
    """Return the largest Euclidean distance between two slices (N, ...): sigma_max as Song and Ermon (2020) advise."""
    flat = slices.flatten(1)
    return float(torch.cdist(flat, flat).max())
