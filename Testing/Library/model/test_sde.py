"""Properties of the variance-exploding SDE, eq. 2 and 3."""

import math

import pytest
import torch
from scipy.spatial.distance import pdist

from LMIDiffusionLib.model.sde import VarianceExplodingSDE, largest_distance, score

SDES = pytest.mark.parametrize(
    "sde", [VarianceExplodingSDE(), VarianceExplodingSDE(0.002, 348), VarianceExplodingSDE(0.3, 0.7)], ids=str
)
TIMES = torch.linspace(0, 1, 11, dtype=torch.float64)


@SDES
def test_sigma_runs_from_sigma_min_to_sigma_max(sde: VarianceExplodingSDE) -> None:
    ends = sde.sigma(torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(ends, torch.tensor([sde.sigma_min, sde.sigma_max], dtype=torch.float64))
    assert bool((sde.sigma(TIMES).diff() > 0).all())


@SDES
def test_sigma_is_geometric_in_time(sde: VarianceExplodingSDE) -> None:
    halfway = float(sde.sigma(torch.tensor(0.5, dtype=torch.float64)))
    assert halfway == pytest.approx(math.sqrt(sde.sigma_min * sde.sigma_max), rel=1e-12)


@SDES
@pytest.mark.parametrize("steps", [2, 3, 25, 1000])
def test_noise_levels_fall_geometrically_from_sigma_max_to_sigma_min(sde: VarianceExplodingSDE, steps: int) -> None:
    levels = sde.noise_levels(steps)
    assert levels.dtype == torch.float64
    assert levels.shape == (steps,)
    assert float(levels[0]) == pytest.approx(sde.sigma_max, rel=1e-12)
    assert float(levels[-1]) == pytest.approx(sde.sigma_min, rel=1e-12)
    ratio = (sde.sigma_min / sde.sigma_max) ** (1 / (steps - 1))
    torch.testing.assert_close(levels[1:] / levels[:-1], torch.full_like(levels[1:], ratio))


def test_a_single_noise_level_is_the_first() -> None:
    torch.testing.assert_close(VarianceExplodingSDE(0.01, 40).noise_levels(1), torch.tensor([40.0]).double())


@pytest.mark.parametrize("steps", [-1, 0])
def test_no_noise_levels_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        VarianceExplodingSDE().noise_levels(steps)


@pytest.mark.parametrize(("sigma_min", "sigma_max"), [(0, 1), (-1, 1), (1, 1), (2, 1), (math.nan, 1), (0.1, math.nan)])
def test_disordered_noise_bounds_are_refused(sigma_min: float, sigma_max: float) -> None:
    with pytest.raises(ValueError, match="sigma_min"):
        VarianceExplodingSDE(sigma_min, sigma_max)


def test_score_of_a_gaussian_follows_from_its_denoised_estimate() -> None:
    mean, std, sigma = 0.3, 0.25, torch.tensor([0.01, 1.0, 50.0], dtype=torch.float64)
    noisy = torch.randn(3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    variance = std**2 + sigma**2
    denoised = mean + std**2 / variance * (noisy - mean)
    torch.testing.assert_close(score(noisy, denoised, sigma), -(noisy - mean) / variance, rtol=1e-10, atol=1e-10)


def test_score_is_the_gradient_of_the_log_density() -> None:
    sites, sigma = torch.tensor([[0.2], [0.9]], dtype=torch.float64), 0.4
    noisy = torch.linspace(-1, 2, 7, dtype=torch.float64, requires_grad=True)
    exponents = -((noisy - sites) ** 2) / (2 * sigma**2)
    (gradient,) = torch.autograd.grad(exponents.logsumexp(0).sum(), noisy)
    denoised = (exponents.softmax(0) * sites).sum(0)
    torch.testing.assert_close(score(noisy, denoised, sigma), gradient)


@pytest.mark.parametrize("count", [2, 5, 60])
def test_largest_distance_is_that_of_scipy(count: int) -> None:
    slices = torch.rand(count, 1, 16, 12, generator=torch.Generator().manual_seed(count))
    assert largest_distance(slices) == pytest.approx(pdist(slices.flatten(1).numpy()).max(), rel=1e-4)


def test_largest_distance_of_black_and_white_slices_is_the_root_of_their_pixel_count() -> None:
    slices = torch.cat([torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)])
    assert largest_distance(slices) == pytest.approx(16)
    assert largest_distance(slices[:1]) == 0
