"""Layers of both networks: scaled weights, modulated convolutions, and resampling by the filter [1, 3, 3, 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_TAPS = (1.0, 3.0, 3.0, 1.0)
_EPSILON = 1e-8


def activate(features: Tensor) -> Tensor:
    """Apply a leaky ReLU that keeps the second moment."""
    return functional.leaky_relu(features, 0.2) * math.sqrt(2)


class Linear(nn.Module):
    """A fully connected layer whose weights are scaled when used, so that all layers learn at one rate."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0) -> None:
        """`rate` multiplies the learning rate; `bias` is the initial value of the biases."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self._gain, self._rate = rate / math.sqrt(inputs), rate

    def forward(self, features: Tensor) -> Tensor:
        return functional.linear(features, self.weight * self._gain, self.bias * self._rate)


class Convolution(nn.Module):
    """A convolution with weights scaled when used, which may halve the image first."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True, halve: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self._gain, self._halve = 1 / math.sqrt(inputs * kernel**2), halve

    def forward(self, features: Tensor) -> Tensor:
        weight = self.weight * self._gain
        kernel = weight.shape[-1]
        if not self._halve:
            return functional.conv2d(features, weight, self.bias, padding=kernel // 2)
        if kernel == 1:
            return functional.conv2d(halved(features), weight, self.bias)
        return functional.conv2d(_smooth(features, margin=2), weight, self.bias, stride=2)


def modulated_convolution(
    features: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, double: bool = False
) -> Tensor:
    """Convolve every image with its own weights: w'_oik = s_i w_oik, divided by their norm over i and k.

    Features are scaled by the styles before one shared convolution and by the norms after it, which is the same.

    Args:
        features: (B, I, H, W).
        weight: (O, I, k, k), k odd.
        styles: s, (B, I).
        demodulate: divide by the norm.
        double: return images of twice the size.
    """
    kernel = weight.shape[-1]
    modulated = features * styles[:, :, None, None]
    if double:
        # The step between is not smoothed yet, and one row and column larger than needed at each end.
        spread = functional.conv_transpose2d(modulated, weight.transpose(0, 1), stride=2)
        result = _smooth(spread, margin=kernel // 2, gain=4)
    else:
        result = functional.conv2d(modulated, weight, padding=kernel // 2)
    if not demodulate:
        return result
    norms = (styles.square() @ weight.square().sum((2, 3)).T + _EPSILON).rsqrt()
    return result * norms[:, :, None, None]


def doubled(image: Tensor) -> Tensor:
    """Double the size of images (B, C, H, W); linear interpolation is the filter [1, 3, 3, 1]."""
    return functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)


def halved(image: Tensor) -> Tensor:
    """Smooth images (B, C, H, W) and halve their size."""
    return _smooth(image, margin=1, stride=2)


def _smooth(image: Tensor, *, margin: int, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Filter with [1, 3, 3, 1] in both directions, `margin` zeros around."""
    taps = torch.tensor(_TAPS, dtype=image.dtype, device=image.device)
    kernel = torch.outer(taps, taps) * gain / taps.sum() ** 2
    channels = image.shape[1]
    return functional.conv2d(image, kernel.expand(channels, 1, -1, -1), padding=margin, groups=channels, stride=stride)
