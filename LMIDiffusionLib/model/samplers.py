"""Solvers of the reverse-time SDE (eq. 3) and of its probability-flow ODE.

Every solver takes a denoiser, the starting noise and a falling sequence of noise levels, evaluates the denoiser once a
level, and yields the state after each step. The step after the last level returns the denoised estimate itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from .sde import score

Denoiser = Callable[[Tensor, float], Tensor]
"""(noisy images (B, 1, H, W), sigma) -> E[F_0 | F_t], of the same shape."""

NoiseSource = Callable[[], Tensor]
"""Draws standard normal noise of the state's shape."""


class Solver(Protocol):
    """One way down the noise levels; the last state yielded is the sample."""

    def __call__(
        self, denoise: Denoiser, state: Tensor, noise_levels: Tensor, *, draw_noise: NoiseSource
    ) -> Iterator[Tensor]:
        """Yield the state after each of len(noise_levels) steps; `state` carries noise of noise_levels[0]."""


def euler_maruyama(
    denoise: Denoiser, state: Tensor, noise_levels: Tensor, *, draw_noise: NoiseSource
) -> Iterator[Tensor]:
    """Euler-Maruyama steps of eq. 3 in exact increments of sigma^2.

    dF = -(d sigma^2 / dt) s(F, t) dt + sqrt(d sigma^2 / dt) dw, with t falling from 1 to 0.
    """
    for sigma, next_sigma in pairwise(noise_levels.tolist()):
        increment = sigma**2 - next_sigma**2
        drift = increment * score(state, denoise(state, sigma), sigma)
        state = state + drift + increment**0.5 * draw_noise()
        yield state
    yield denoise(state, float(noise_levels[-1]))


def dpm_solver_2m(
    denoise: Denoiser, state: Tensor, noise_levels: Tensor, *, draw_noise: NoiseSource
) -> Iterator[Tensor]:
    """DPM-Solver++(2M) of Lu et al. 2022, a second-order multistep solver of the probability-flow ODE.

    It draws no noise on the way.
    """
    log_levels = (-noise_levels.log()).tolist()
    previous: Tensor | None = None
    for index, (sigma, next_sigma) in enumerate(pairwise(noise_levels.tolist())):
        denoised = denoise(state, sigma)
        extrapolated = denoised
        if previous is not None:
            step = log_levels[index + 1] - log_levels[index]
            ratio = (log_levels[index] - log_levels[index - 1]) / step
            extrapolated = denoised + (denoised - previous) / (2 * ratio)
        state = next_sigma / sigma * state + (1 - next_sigma / sigma) * extrapolated
        previous = denoised
        yield state
    yield denoise(state, float(noise_levels[-1]))


@dataclass(frozen=True)
class Sampler:
    """A solver and the number of steps (denoiser evaluations) it takes by default."""

    solve: Solver
    default_steps: int


SAMPLERS: dict[str, Sampler] = {
    # From pure noise one step gives the mean of all slices that fit the maps, which scores better than any one of them.
    "dpm-solver++": Sampler(dpm_solver_2m, default_steps=1),
    "euler-maruyama": Sampler(euler_maruyama, default_steps=1000),
}


def shared_noise(seed: int, slices: Tensor) -> NoiseSource:
    """Draws noise of one slice, and gives it to all of a batch (B, 1, H, W).

    It depends on the seed and the slices' shape alone, never on the batch. Drawn on the CPU, so that every device sees
    the same noise.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        return torch.randn(1, *slices.shape[1:], generator=generator).to(slices.device).expand_as(slices)

    return draw
