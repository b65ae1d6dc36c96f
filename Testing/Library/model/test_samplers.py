"""Properties of the solvers of the reverse-time SDE and of its probability-flow ODE."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from LMIDiffusionLib.model.samplers import SAMPLERS, Denoiser, Solver, dpm_solver_2m, euler_maruyama, shared_noise
from LMIDiffusionLib.model.sde import VarianceExplodingSDE

SOLVERS = pytest.mark.parametrize("solve", [euler_maruyama, dpm_solver_2m])


def gaussian_denoiser(std: float, mean: float = 0.0) -> Denoiser:
    """The exact E[F_0 | F_t] of N(mean, std^2) data."""
    return lambda noisy, sigma: mean + std**2 / (std**2 + sigma**2) * (noisy - mean)


def geometric_levels(steps: int, sigma_max: float) -> Tensor:
    return VarianceExplodingSDE(0.01, sigma_max).noise_levels(steps)


def karras_levels(steps: int, sigma_max: float) -> Tensor:
    sigma_min, rho = 0.002, 7
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    levels: Tensor = (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
    return levels


def impulse_responses(solve: Solver, std: float, levels: Tensor) -> list[Tensor]:
    """States of runs that each see one unit of noise: run 0 in the starting state, run k in the k-th draw.

    A solver with a linear denoiser is linear in its noise, so the sum of squares over the runs is its variance.
    """
    count = len(levels)
    start = torch.zeros(count, 1, 1, 1, dtype=torch.float64)
    start[0] = levels[0]
    draws = iter(range(1, count))

    def draw_noise() -> Tensor:
        noise = torch.zeros_like(start)
        noise[next(draws)] = 1
        return noise

    return list(solve(gaussian_denoiser(std), start, levels, draw_noise=draw_noise))


def std_ratio(response: Tensor, std: float) -> float:
    return float(response.square().sum().sqrt()) / std


def no_noise() -> Tensor:
    raise AssertionError("a deterministic solver drew noise")


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_one_step_from_pure_noise_is_the_mean_of_the_data(name: str) -> None:
    start = 1000 * torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    (sample,) = SAMPLERS[name].solve(gaussian_denoiser(0.2, 0.4), start, geometric_levels(1, 1000), draw_noise=no_noise)
    torch.testing.assert_close(sample, torch.full_like(sample, 0.4), atol=1e-3, rtol=0)


class TestGaussianData:
    """With the exact denoiser of Gaussian data, the law of the sample is known in closed form."""

    @pytest.mark.parametrize("steps", [18, 25, 50, 200])
    @pytest.mark.parametrize(
        ("solve", "levels", "sigma_max", "std", "expected"),
        [
            (euler_maruyama, geometric_levels, 50, 0.25, {18: 1.311, 25: 1.206, 50: 1.093, 200: 1.021}),
            (euler_maruyama, geometric_levels, 348, 0.05, {18: 1.389, 25: 1.248, 50: 1.099, 200: 1.008}),
            (dpm_solver_2m, geometric_levels, 50, 0.25, {18: 1.013, 25: 1.007, 50: 1.001, 200: 0.999}),
            (dpm_solver_2m, geometric_levels, 348, 0.05, {18: 0.985, 25: 0.986, 50: 0.982, 200: 0.981}),
            (dpm_solver_2m, karras_levels, 50, 0.25, {18: 1.062, 25: 1.030, 50: 1.007, 200: 1.000}),
            (dpm_solver_2m, karras_levels, 348, 0.05, {18: 1.078, 25: 1.069, 50: 1.020, 200: 1.000}),
        ],
    )
    def test_deviation_of_the_samples_is_that_of_independent_recursions(
        self,
        solve: Solver,
        levels: Callable[[int, float], Tensor],
        sigma_max: float,
        std: float,
        expected: dict[int, float],
        steps: int,
    ) -> None:
        responses = impulse_responses(solve, std, levels(steps, sigma_max))
        assert std_ratio(responses[-1], std) == pytest.approx(expected[steps], abs=1e-3)

    @pytest.mark.parametrize("steps", [2, 18, 50])
    def test_variance_of_euler_maruyama_follows_its_closed_recursion(self, steps: int) -> None:
        std, levels = 0.25, geometric_levels(steps, 50)
        responses = impulse_responses(euler_maruyama, std, levels)
        variance = float(levels[0]) ** 2
        for response, (sigma, next_sigma) in zip(responses[:-1], pairwise(levels.tolist()), strict=True):
            increment = sigma**2 - next_sigma**2
            variance = (1 - increment / (std**2 + sigma**2)) ** 2 * variance + increment
            assert float(response.square().sum()) == pytest.approx(variance, rel=1e-10)

    @pytest.mark.parametrize(("solve", "order"), [(euler_maruyama, 1), (dpm_solver_2m, 2)])
    def test_order_of_convergence(self, solve: Solver, order: int) -> None:
        std, sigma_min, sigma_max = 0.25, 0.01, 50.0
        # The start has the deviation sigma_max instead of that of p(F_T), which the exact flow scales along.
        exact = (std**2 + sigma_min**2) ** 0.5 / std * std**2 / (std**2 + sigma_min**2)
        if solve is dpm_solver_2m:
            exact *= sigma_max / (std**2 + sigma_max**2) ** 0.5
        errors = [
            abs(std_ratio(impulse_responses(solve, std, geometric_levels(steps + 1, sigma_max))[-1], std) - exact)
            for steps in (100, 200, 400, 800)
        ]
        for coarse, fine in pairwise(errors):
            assert coarse / fine == pytest.approx(2**order, rel=0.1)

    @pytest.mark.parametrize("name", list(SAMPLERS))
    def test_samples_have_the_mean_and_deviation_of_the_data(self, name: str) -> None:
        std, mean, steps = 0.25, 0.4, 50
        noise = shared_noise(0, torch.empty(1, 1, 256, 128))
        levels = geometric_levels(steps, 50)
        *_, sample = SAMPLERS[name].solve(
            gaussian_denoiser(std, mean), float(levels[0]) * noise(), levels, draw_noise=noise
        )
        expected = std_ratio(impulse_responses(SAMPLERS[name].solve, std, levels)[-1], std)
        assert sample.dtype == torch.float32
        assert float(sample.std()) / std == pytest.approx(expected, rel=0.02)
        assert float(sample.mean()) == pytest.approx(mean, abs=0.01)


class TestEquation18:
    """With scores s = alpha L + beta, two runs that share their noise differ by the condition's share of the drift."""

    levels = geometric_levels(30, 50.0)
    alpha, beta = torch.randn(2, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def denoiser(self, maps: Callable[[int], Tensor]) -> Denoiser:
        step = {sigma: index for index, sigma in enumerate(self.levels.tolist())}

        def denoise(noisy: Tensor, sigma: float) -> Tensor:
            index = step[sigma]
            return noisy + sigma**2 * (self.alpha[index] * maps(index) + self.beta[index])

        return denoise

    def state_before_the_last_step(self, maps: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(2)
        start = 50 * torch.randn(2, 1, 4, 4, generator=generator, dtype=torch.float64)
        states = list(
            euler_maruyama(
                self.denoiser(lambda index: maps[index]),
                start,
                self.levels,
                draw_noise=lambda: torch.randn(start.shape, generator=generator, dtype=torch.float64),
            )
        )
        return states[-2]

    def maps(self, seed: int) -> Tensor:
        return torch.rand(30, 2, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def test_difference_is_the_sum_over_steps(self) -> None:
        first, second = self.maps(3), self.maps(4)
        difference = self.state_before_the_last_step(first) - self.state_before_the_last_step(second)
        variances = self.levels**2
        weights = (variances[:-1] - variances[1:]) * self.alpha[:-1]
        expected = (weights.view(-1, 1, 1, 1, 1) * (first - second)[:-1]).sum(0)
        torch.testing.assert_close(difference, expected, rtol=0, atol=1e-10)

    def test_equal_maps_give_no_difference(self) -> None:
        maps = self.maps(3)
        assert torch.equal(self.state_before_the_last_step(maps), self.state_before_the_last_step(maps.clone()))

    def test_difference_is_linear_in_the_difference_of_the_maps(self) -> None:
        maps, change = self.maps(3), self.maps(4)
        start = self.state_before_the_last_step(maps)
        once = self.state_before_the_last_step(maps + change) - start
        thrice = self.state_before_the_last_step(maps - 3 * change) - start
        torch.testing.assert_close(thrice, -3 * once, rtol=0, atol=1e-10)


class TestSolvers:
    @pytest.mark.parametrize("steps", [2, 3, 10, 37])
    @SOLVERS
    def test_every_level_is_evaluated_once_and_yields_one_state(self, solve: Solver, steps: int) -> None:
        levels, seen = geometric_levels(steps, 50), list[float]()

        def denoise(noisy: Tensor, sigma: float) -> Tensor:
            seen.append(sigma)
            return gaussian_denoiser(0.25)(noisy, sigma)

        start = torch.ones(2, 1, 4, 4)
        states = list(solve(denoise, start, levels, draw_noise=lambda: torch.zeros_like(start)))
        assert len(states) == steps
        assert all(state.shape == start.shape for state in states)
        assert seen == levels.tolist()

    @SOLVERS
    def test_the_last_state_is_the_denoised_estimate_of_the_one_before(self, solve: Solver) -> None:
        levels = geometric_levels(10, 50)
        noise = shared_noise(0, torch.empty(2, 1, 4, 4))
        *_, before, last = solve(gaussian_denoiser(0.25, 0.4), 50 * noise(), levels, draw_noise=noise)
        assert torch.equal(last, gaussian_denoiser(0.25, 0.4)(before, float(levels[-1])))

    @SOLVERS
    def test_a_single_image_as_data_is_recovered_exactly(self, solve: Solver) -> None:
        image = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(5))
        noise = shared_noise(0, torch.empty(1, 1, 4, 4))
        *_, sample = solve(lambda noisy, sigma: image, 50 * noise(), geometric_levels(10, 50), draw_noise=noise)
        assert torch.equal(sample, image)

    @SOLVERS
    def test_a_run_is_repeatable_and_leaves_the_start_unchanged(self, solve: Solver) -> None:
        levels = geometric_levels(10, 50)
        start = 50 * shared_noise(0, torch.empty(2, 1, 4, 4))()
        before = start.clone()
        runs = [
            list(solve(gaussian_denoiser(0.25), start, levels, draw_noise=shared_noise(2, start))) for _ in range(2)
        ]
        assert torch.equal(start, before)
        for first, second in zip(*runs, strict=True):
            assert torch.equal(first, second)

    def test_dpm_solver_draws_no_noise(self) -> None:
        levels = geometric_levels(10, 50)
        start = 50 * shared_noise(0, torch.empty(1, 1, 4, 4))()
        states = list(dpm_solver_2m(gaussian_denoiser(0.25), start, levels, draw_noise=no_noise))
        assert len(states) == 10

    def test_dpm_solver_carries_a_point_mass_along_straight_lines(self) -> None:
        levels = geometric_levels(10, 50)
        image = torch.full((1, 1, 4, 4), 0.3, dtype=torch.float64)
        start = torch.full_like(image, 20.0)
        states = list(dpm_solver_2m(lambda noisy, sigma: image, start, levels, draw_noise=no_noise))
        for state, sigma in zip(states[:-1], levels.tolist()[1:], strict=True):
            torch.testing.assert_close(state, image + sigma / 50 * (start - image), rtol=0, atol=1e-10)

    def test_euler_maruyama_draws_fresh_noise_for_every_step_but_the_last(self) -> None:
        levels = geometric_levels(10, 50)
        draws = list[Tensor]()
        noise = shared_noise(0, torch.empty(1, 1, 4, 4))

        def draw_noise() -> Tensor:
            draws.append(noise())
            return draws[-1]

        list(euler_maruyama(gaussian_denoiser(0.25), torch.zeros(1, 1, 4, 4), levels, draw_noise=draw_noise))
        assert len(draws) == 9

    def test_euler_maruyama_step_is_eq_3(self) -> None:
        """One step: dF = -(d sigma^2) s + sqrt(|d sigma^2|) w, with d sigma^2 negative."""
        levels = torch.tensor([3.0, 2.0], dtype=torch.float64)
        state = torch.tensor([[[[0.7]]]], dtype=torch.float64)
        first, _ = euler_maruyama(
            gaussian_denoiser(0.5, 0.1), state, levels, draw_noise=lambda: torch.full_like(state, 0.25)
        )
        score = -(0.7 - 0.1) / (0.5**2 + 3.0**2)
        assert float(first) == pytest.approx(0.7 + 5 * score + 5**0.5 * 0.25, rel=1e-12)

    def test_the_papers_sampler_leaves_little_error_in_its_default_steps_and_the_fast_one_in_25(self) -> None:
        for name, steps in (("euler-maruyama", SAMPLERS["euler-maruyama"].default_steps), ("dpm-solver++", 25)):
            responses = impulse_responses(SAMPLERS[name].solve, 0.25, geometric_levels(steps, 50))
            assert std_ratio(responses[-1], 0.25) == pytest.approx(1, abs=0.01)


class TestSharedNoise:
    @staticmethod
    def draws(seed: int, slices: int = 1, count: int = 3) -> Tensor:
        draw_noise = shared_noise(seed, torch.empty(slices, 1, 5, 6))
        return torch.stack([draw_noise() for _ in range(count)])

    def test_all_slices_of_a_batch_share_it_and_a_larger_batch_draws_the_same(self) -> None:
        alone, batch = self.draws(7), self.draws(7, slices=4)
        assert batch.shape == (3, 4, 1, 5, 6)
        assert torch.equal(batch, alone.expand_as(batch))

    def test_it_differs_between_seeds_and_between_draws(self) -> None:
        noise = torch.cat([self.draws(3), self.draws(7)])
        assert len({tuple(each.flatten().tolist()) for each in noise}) == 6

    def test_it_is_standard_normal(self) -> None:
        values = shared_noise(1, torch.empty(1, 1, 256, 256))().flatten()
        assert float(values.mean()) == pytest.approx(0, abs=0.02)
        assert float(values.std()) == pytest.approx(1, abs=0.02)
        assert float((values.abs() < 1).float().mean()) == pytest.approx(0.6827, abs=0.01)

    def test_it_ignores_the_global_generator_and_leaves_it_alone(self) -> None:
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        first = self.draws(7)
        assert torch.equal(torch.rand(3), expected)
        assert torch.equal(self.draws(7), first)
