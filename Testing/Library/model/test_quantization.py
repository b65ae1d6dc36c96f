"""Properties of weights with 8 bits and a scale per output channel."""

import numpy as np
import pytest
import torch

from LMIDiffusionLib.interface.resources import bundled_checkpoints
from LMIDiffusionLib.model.checkpoint import load_checkpoint
from LMIDiffusionLib.model.quantization import SCALE_SUFFIX, dequantize, quantize, restored_weights, stored_weights

SHAPES = [(7, 5, 3, 3), (64, 128), (3, 1), (1, 4)]


def random(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Weights of channels whose sizes differ by orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    sizes = 10 ** (torch.rand(shape[0], generator=generator) * 6 - 5)
    return torch.randn(shape, generator=generator) * sizes.view(-1, *[1] * (len(shape) - 1))


def squared_error(weight: torch.Tensor, integers: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """By channel."""
    difference = weight.double() - integers.double() * scale.double().view(-1, *[1] * (weight.ndim - 1))
    return (difference**2).flatten(1).sum(1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_error_is_at_most_that_of_rounding_to_the_largest_weights_range(shape: tuple[int, ...]) -> None:
    weight = random(shape)
    integers, scale = quantize(weight)
    assert integers.dtype == torch.int8 and integers.shape == weight.shape and scale.shape == shape[:1]
    plain = weight.abs().flatten(1).amax(1) / 127
    rounded = (weight / plain.view(-1, *[1] * (weight.ndim - 1))).round()
    rounding = 1e-10 * (weight.double() ** 2).flatten(1).sum(1)
    assert (squared_error(weight, integers, scale) <= squared_error(weight, rounded, plain) + rounding).all()


def test_the_error_is_within_a_tenth_of_what_a_search_of_3000_scales_finds() -> None:
    """Each scale with its own nearest integers, in NumPy."""
    weight = random((40, 200))
    found = squared_error(weight, *quantize(weight)).numpy()
    rows = weight.double().numpy()
    least = []
    for row in rows:
        steps = np.abs(row).max() / 127 * np.linspace(0.5, 1.1, 3000)[:, None]
        least.append(((row - steps * np.clip(np.round(row / steps), -127, 127)) ** 2).sum(1).min())
    assert np.mean(found / least) < 1.1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_quantizing_again_changes_nothing(shape: tuple[int, ...], seed: int) -> None:
    integers, scale = quantize(random(shape, seed))
    again, same_scale = quantize(dequantize(integers, scale))
    assert torch.equal(again, integers)
    assert torch.equal(same_scale, scale)


def test_channels_of_zeros_come_back_as_zeros() -> None:
    weight = random((3, 4))
    weight[1] = 0
    integers, scale = quantize(weight)
    assert scale.isfinite().all()
    assert not dequantize(integers, scale)[1].any()


def test_each_channel_needs_its_scale() -> None:
    with pytest.raises(ValueError, match="one scale"):
        dequantize(torch.zeros(3, 2, dtype=torch.int8), torch.ones(2))


@pytest.mark.parametrize("name", sorted(bundled_checkpoints()))
def test_bundled_weights_keep_two_digits_in_a_third_of_float32(name: str) -> None:
    weights = {key: weight.float() for key, weight in load_checkpoint(name).weights.items()}
    stored = stored_weights(weights)
    restored = restored_weights(stored)
    assert restored.keys() == weights.keys()
    assert not any(key.endswith(SCALE_SUFFIX) for key in weights)
    for key, weight in weights.items():
        assert (restored[key].float() - weight).norm() <= 0.03 * weight.norm(), key
    sizes = [sum(each.numel() * each.element_size() for each in tensors.values()) for tensors in (stored, weights)]
    assert sizes[0] < 0.33 * sizes[1]
