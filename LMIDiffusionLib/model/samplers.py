"""Solvers of the reverse-time SDE (eq. 3) and of its probability-flow ODE.

A solver takes a denoiser, the starting noise and a falling sequence of noise levels. It evaluates the denoiser once per
level and yields the state after each step; the last state is the denoised estimate itself.

Solvers are listed by commands that do without PyTorch, which is imported where noise is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Denoiser: TypeAlias = "Callable[[Tensor, float], Tensor]"
"""Function (noisy images (B, 1, H, W), sigma) -> E[F_0 | F_t] of the same shape."""

NoiseSource: TypeAlias = "Callable[[], Tensor]"
"""Function that draws standard normal noise with the state's shape."""


class Solver(Protocol):
    """Protocol of a solver; the last state it yields is the sample."""

    def __call__(
        self, denoise: Denoiser, state: Tensor, noise_levels: Tensor, *, draw_noise: NoiseSource
    ) -> Iterator[Tensor]:
        """Yield the state after each of len(noise_levels) steps; `state` carries noise at noise_levels[0]."""


def euler_maruyama(
    denoise: Denoiser, state: Tensor, noise_levels: Tensor, *, draw_noise: NoiseSource
) -> Iterator[Tensor]:
    """Solve eq. 3 by Euler-Maruyama steps in exact increments of sigma^2.

    dF = -(d sigma^2 / dt) s(F, t) dt + sqrt(d sigma^2 / dt) dw, with t falling from 1 to 0.
    """
    from .sde import score

    for sigma, next_sigma in pairwise(noise_levels.tolist()):
        increment = sigma**2 - next_sigma**2
        drift = increment * score(state, denoise(state, sigma), sigma)
        state = state + drift + increment**0.5 * draw_noise()
        yield state
    yield denoise(state, float(noise_levels[-1]))


def dpm_solver_2m(
    denoise: Denoiser, state: Tensor, noise_levels: Tensor, *, draw_noise: NoiseSource
) -> Iterator[Tensor]:
    """Solve the probability-flow ODE by DPM-Solver++(2M), a second-order multistep solver (Lu et al. 2022).

    It draws no noise between its steps.
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
    """A solver and its default number of steps (denoiser evaluations)."""

    solve: Solver
    default_steps: int


SAMPLERS: dict[str, Sampler] = {
    # One step from pure noise gives the mean of all slices that fit the maps, which scores better than any single one.
    "dpm-solver++": Sampler(dpm_solver_2m, default_steps=1),
    "euler-maruyama": Sampler(euler_maruyama, default_steps=1000),
}


def shared_noise(seed: int, slices: Tensor) -> NoiseSource:
    """Return a noise source that draws noise for one slice and repeats it over a batch (B, 1, H, W).

    The noise depends on the seed and the slices' shape, not on the batch. It is drawn on the CPU, so that all devices
    see the same noise.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)

    def draw() -> Tensor:
        noise = torch.randn(1, *slices.shape[1:], generator=generator, dtype=torch.float32, device="cpu")
        return noise.to(slices.device).expand_as(slices)

    return draw
