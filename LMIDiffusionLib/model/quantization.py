"""Weights as checkpoints store them: 8 bits and one scale per output channel where they are many.

A tensor w of two or more dimensions is stored as integers q in [-127, 127] and a scale s per output channel (the first
dimension), so that w is about s q. For given integers the scale that minimizes the squared error is
s = sum(w q) / sum(q q) over the channel; the integers are those of the best of some clipping ranges. Tensors of fewer
than 20,000 weights and those of one dimension (biases, gains) stay in 16 bits: they are a tenth of the bundled
network, and in 8 bits they would cause five sixths of the error of its estimates, as the layers at full resolution are
among them.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALE_SUFFIX = ".scale"
"""Ends the name under which the scales of a tensor of integers are stored."""

_LEAST_WEIGHTS = 20_000
_LARGEST = 127
_RANGES = torch.linspace(1, 0.6, 41, dtype=torch.float64)
"""Largest magnitudes that are not clipped, as shares of the channel's largest magnitude."""
_SCALE_BITS = 16
"""Bits of a scale's mantissa: its product with the 7 of an integer is exact in float32, so storing it again is too."""


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the int8 integers of a tensor, in its shape, and the float32 scale of each output channel."""
    rows = weight.detach().double().cpu().flatten(1)
    largest = rows.abs().amax(1, keepdim=True)
    best_error = torch.full_like(largest, torch.inf)
    best_integers, best_scale = torch.zeros_like(rows), torch.ones_like(largest)
    for share in _RANGES:
        step = torch.where(largest > 0, share * largest / _LARGEST, 1)
        integers = (rows / step).round().clamp(-_LARGEST, _LARGEST)
        scale = _rounded((rows * integers).sum(1, keepdim=True) / (integers**2).sum(1, keepdim=True).clamp(min=1))
        error = ((rows - scale * integers) ** 2).sum(1, keepdim=True)
        is_better = error < best_error
        best_error = torch.where(is_better, error, best_error)
        best_integers = torch.where(is_better, integers, best_integers)
        best_scale = torch.where(is_better, scale, best_scale)
    return best_integers.to(torch.int8).view(weight.shape), best_scale.float().flatten()


def dequantize(integers: Tensor, scale: Tensor) -> Tensor:
    """Return float32 weights from their integers and the scale of each output channel.

    Raises:
        ValueError: there is not one scale per output channel.
    """
    if scale.shape != integers.shape[:1]:
        raise ValueError("expected one scale per output channel")
    return integers.float() * scale.float().view(-1, *[1] * (integers.ndim - 1))


def stored_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint file by name: integers with their scales, and the others in float16."""
    stored = {}
    for name, weight in weights.items():
        if weight.ndim < 2 or weight.numel() < _LEAST_WEIGHTS:
            stored[name] = weight.detach().half().contiguous().cpu()
        else:
            stored[name], stored[name + SCALE_SUFFIX] = quantize(weight)
    return stored


def restored_weights(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by name from the tensors of a checkpoint file of any format; before format 3 none are integers.

    Raises:
        LookupError: integers have no scales.
        ValueError: there is not one scale per output channel.
    """
    quantized = {name for name, tensor in stored.items() if tensor.dtype == torch.int8}
    scales = {name + SCALE_SUFFIX for name in quantized}
    return {
        name: dequantize(tensor, stored[name + SCALE_SUFFIX]) if name in quantized else tensor
        for name, tensor in stored.items()
        if name not in scales
    }


def _rounded(scale: Tensor) -> Tensor:
    mantissa, exponent = torch.frexp(scale)
    return torch.ldexp((mantissa * 2**_SCALE_BITS).round() / 2**_SCALE_BITS, exponent)
