"""Properties of the preconditioned U-Net."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from LMIDiffusionLib.model.score_network import NetworkSettings, ScoreNetwork
from LMIDiffusionLib.model.sde import score

TINY = NetworkSettings(channels=(16, 32))
SIGMAS = (0.01, 0.1, 0.25, 1.0, 10.0, 50.0)


def randomized(settings: NetworkSettings) -> ScoreNetwork:
    """A network without the zeros it starts with, as a trained one."""
    network = ScoreNetwork(settings).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def random_inputs(batch: int, height: int, width: int, *, seed: int = 1, maps: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, 1, height, width, generator=generator),
        torch.rand(batch, maps, height, width, generator=generator),
    )


@pytest.mark.parametrize(
    "settings",
    [
        TINY,
        NetworkSettings(channels=(32,), unshuffle=1, attention_heads=1),
        NetworkSettings(channels=(16, 16, 32), blocks=2, unshuffle=1),
        NetworkSettings(channels=(16, 32), unshuffle=4, condition_channels=1),
    ],
    ids=str,
)
def test_output_has_the_shape_of_the_slices_for_every_multiple_of_the_stride(settings: NetworkSettings) -> None:
    network, stride = randomized(settings), settings.stride
    for rows, columns in ((1, 1), (1, 3), (4, 2), (5, 3)):
        noisy, maps = random_inputs(2, rows * stride, columns * stride, maps=settings.condition_channels)
        with torch.no_grad():
            denoised = network(noisy, maps, torch.tensor([0.1, 10.0]))
        assert denoised.shape == noisy.shape
        assert denoised.dtype == noisy.dtype
        assert bool(denoised.isfinite().all())


def test_stride_counts_folding_and_halvings() -> None:
    assert NetworkSettings(channels=(32, 64, 128), unshuffle=2).stride == 8
    assert NetworkSettings(channels=(32,), unshuffle=1).stride == 1
    assert NetworkSettings(channels=(16, 32), unshuffle=4).stride == 8


def test_shipped_size_has_under_4_million_parameters() -> None:
    network = ScoreNetwork(NetworkSettings(channels=(32, 64, 128)))
    assert 1e5 < sum(parameter.numel() for parameter in network.parameters()) < 4e6


def test_denoised_slice_tends_to_the_noisy_one_as_sigma_vanishes() -> None:
    network = randomized(TINY)
    noisy, maps = random_inputs(1, 8, 8)
    with torch.no_grad():
        errors = [float((network(noisy, maps, torch.tensor([s])) - noisy).abs().max()) for s in (1e-1, 1e-3, 1e-5)]
    assert errors[0] > 1e-2
    assert errors[1] < errors[0] / 50
    assert errors[2] < 1e-3


def test_a_fresh_network_is_the_skip_alone_as_its_last_layer_is_zero() -> None:
    noisy, maps = random_inputs(len(SIGMAS), 8, 8)
    sigma = torch.tensor(SIGMAS)
    skip = TINY.sigma_data**2 / (TINY.sigma_data**2 + sigma**2)
    with torch.no_grad():
        denoised = ScoreNetwork(TINY)(noisy, maps, sigma)
    torch.testing.assert_close(denoised, skip.view(-1, 1, 1, 1) * noisy)


def test_preconditioning_is_that_of_karras_et_al() -> None:
    settings = NetworkSettings(channels=(16,), sigma_data=0.4)
    network = randomized(settings)
    noisy, maps = random_inputs(len(SIGMAS), 8, 8)
    sigma = torch.tensor(SIGMAS).view(-1, 1, 1, 1)
    total = sigma**2 + 0.4**2
    with torch.no_grad():
        actual = network(noisy, maps, sigma.flatten())
        inner = network.unet(torch.cat([noisy / total.sqrt(), maps / 0.4], 1), sigma.flatten().log() / 4)
    expected = 0.4**2 / total * noisy + 0.4 * sigma / total.sqrt() * inner
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_unet_sees_and_has_to_predict_unit_variance(sigma: float) -> None:
    network = ScoreNetwork(TINY)
    clean, noise = TINY.sigma_data * torch.randn(2, 16, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    noise /= TINY.sigma_data
    noisy, level = clean + sigma * noise, torch.full((16,), sigma)
    seen = list[Tensor]()
    network.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, :1]))
    with torch.no_grad():
        skip_alone = network(noisy, torch.zeros(16, 2, 16, 16), level)
    assert float(seen[0].std()) == pytest.approx(1, rel=0.05)
    weighted_error = network.loss_weight(level).view(-1, 1, 1, 1) * (clean - skip_alone) ** 2
    assert float(weighted_error.mean()) == pytest.approx(1, rel=0.1)


def test_loss_weight_is_that_of_karras_et_al() -> None:
    sigma = torch.tensor(SIGMAS, dtype=torch.float64)
    weight = ScoreNetwork(NetworkSettings(channels=(16,), sigma_data=0.4)).loss_weight(sigma)
    torch.testing.assert_close(weight, 1 / sigma**2 + 1 / 0.4**2)


def test_a_slice_alone_gives_what_it_gives_in_a_batch() -> None:
    network = randomized(TINY)
    noisy, maps = random_inputs(3, 16, 8)
    sigma = torch.tensor([0.05, 1.0, 20.0])
    with torch.no_grad():
        batch = network(noisy, maps, sigma)
        alone = [network(noisy[i, None], maps[i, None], sigma[i, None]) for i in range(3)]
    torch.testing.assert_close(batch, torch.cat(alone), rtol=0, atol=1e-5)


def test_the_estimate_depends_on_every_map_and_on_sigma_and_the_slice() -> None:
    network = randomized(TINY)
    noisy, maps = random_inputs(1, 8, 8)
    changes: list[Callable[[], tuple[Tensor, Tensor, float]]] = [
        lambda: (noisy, maps * torch.tensor([0.0, 1.0]).view(1, 2, 1, 1), 0.5),
        lambda: (noisy, maps * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), 0.5),
        lambda: (noisy.flip(-1), maps, 0.5),
    ]
    with torch.no_grad():
        base = network(noisy, maps, torch.tensor([0.5]))
        for change in changes:
            changed_noisy, changed_maps, sigma = change()
            changed = network(changed_noisy, changed_maps, torch.tensor([sigma]))
            assert float((changed - base).abs().max()) > 1e-3
        unet = [network.unet(torch.cat([noisy, maps], 1), torch.tensor([level])) for level in (-1.0, 0.0, 1.0)]
    assert float((unet[0] - unet[1]).abs().max()) > 1e-3
    assert float((unet[1] - unet[2]).abs().max()) > 1e-3


def test_the_network_is_fully_convolutional() -> None:
    """A structure on a plain background may lie anywhere: moved by the stride, its estimate moves along."""
    network = randomized(NetworkSettings(channels=(16, 16), unshuffle=2, attention_heads=2))
    structure, structure_maps = random_inputs(1, 8, 8, seed=3)
    sigma = torch.tensor([0.5])
    results = []
    with torch.no_grad():
        for top, left in ((76, 76), (84, 68)):
            noisy, maps = torch.zeros(1, 1, 160, 160), torch.zeros(1, 2, 160, 160)
            noisy[..., top : top + 8, left : left + 8] = structure
            maps[..., top : top + 8, left : left + 8] = structure_maps
            denoised = network(noisy, maps, sigma)
            results.append(denoised[..., top - 20 : top + 28, left - 20 : left + 28])
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-4)
    assert float(results[0].std()) > 1e-2


def test_mixed_precision_keeps_the_precision_of_the_slices() -> None:
    network = randomized(TINY)
    noisy, maps = random_inputs(1, 8, 8)
    sigma = torch.tensor([0.01])
    with torch.no_grad():
        exact = network(noisy, maps, sigma)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(noisy, maps, sigma)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, rtol=0, atol=0.01 * float((exact - noisy).abs().max()) + 1e-3)


def test_every_parameter_learns() -> None:
    network = randomized(TINY)
    noisy, maps = random_inputs(2, 16, 16)
    network(noisy, maps, torch.tensor([0.1, 5.0])).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name


def test_training_on_gaussian_data_tends_to_the_wiener_estimate_and_the_score() -> None:
    """Data N(m, s^2): D -> (s^2 F_t + sigma^2 m) / (s^2 + sigma^2), score -> -(F_t - m) / (s^2 + sigma^2)."""
    mean, std = 0.6, 0.1
    generator = torch.Generator().manual_seed(4)
    torch.manual_seed(4)
    network = ScoreNetwork(NetworkSettings(channels=(16,), unshuffle=1, attention_heads=1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.015, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.015, total_steps=200)
    maps = torch.zeros(32, 2, 6, 6)

    def draw() -> tuple[Tensor, Tensor, Tensor]:
        clean = mean + std * torch.randn(32, 1, 6, 6, generator=generator)
        sigma = 0.05 * 20 ** torch.rand(32, generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        return clean, clean + sigma.view(-1, 1, 1, 1) * noise, sigma

    def errors(network: nn.Module) -> tuple[float, float]:
        """Relative errors of the denoised slices and of the score, over all sigmas."""
        _, noisy, sigma = draw()
        level = sigma.view(-1, 1, 1, 1)
        total = std**2 + level**2
        with torch.no_grad():
            denoised = network(noisy, maps, sigma)
        wiener = (std**2 * noisy + level**2 * mean) / total
        expected = -(noisy - mean) / total
        off = (score(noisy, denoised, level) - expected) * level
        return (
            float((denoised - wiener).square().mean().sqrt() / wiener.square().mean().sqrt()),
            float(off.square().mean().sqrt() / (expected * level).square().mean().sqrt()),
        )

    before = errors(network)
    for _ in range(200):
        clean, noisy, sigma = draw()
        loss = (network.loss_weight(sigma).view(-1, 1, 1, 1) * (network(noisy, maps, sigma) - clean) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    after = errors(network)
    assert before[0] > 0.3
    assert after[0] < 0.05
    assert after[1] < 0.15


class TestPixelSize:
    def test_a_new_network_that_is_told_the_size_starts_as_one_that_is_not(self) -> None:
        plain = randomized(TINY)
        told = ScoreNetwork(dataclasses.replace(TINY, finest_pixel_size=1.0)).eval()
        told.load_state_dict(plain.state_dict(), strict=False)
        noisy, maps = random_inputs(2, 16, 24)
        sigma = torch.tensor([0.1, 10.0])
        with torch.no_grad():
            for size in (1.0, 1.4, 2.0):
                assert torch.equal(told(noisy, maps, sigma, size), plain(noisy, maps, sigma))

    def test_a_trained_one_estimates_differently_for_another_size(self) -> None:
        told = randomized(dataclasses.replace(TINY, finest_pixel_size=1.0))
        noisy, maps = random_inputs(2, 16, 24)
        sigma = torch.tensor([0.1, 10.0])
        with torch.no_grad():
            fine, again, coarse = (told(noisy, maps, sigma, size) for size in (1.0, 1.0, 2.0))
        assert torch.equal(fine, again)
        assert (fine - coarse).abs().max() > 1e-3

    def test_one_that_is_not_told_does_not_ask(self) -> None:
        plain = randomized(TINY)
        noisy, maps = random_inputs(1, 16, 16)
        sigma = torch.tensor([1.0])
        with torch.no_grad():
            assert torch.equal(plain(noisy, maps, sigma, 1.0), plain(noisy, maps, sigma))
        assert not any("size" in name for name in plain.state_dict())
