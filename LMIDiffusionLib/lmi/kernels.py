"""Kernels K of pixel pairs, from which local mutual information estimates its densities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# Similarities below 2^-60 do not change a sum that holds 1, but denormal numbers are slow.
_LARGEST_EXPONENT = 60.0


class PairKernel(Protocol):
    """Protocol of a symmetric similarity of two pixels, in [0, 1], 1 for equal pixels."""

    def prepare(self, image: Tensor) -> Tensor:
        """Transform an image once into the values that `similarity` compares."""

    def similarity(self, first: Tensor, second: Tensor, out: Tensor) -> None:
        """Write K(first, second), elementwise, to `out`."""


@dataclass(frozen=True)
class GaussianKernel:
    """Gaussian Parzen kernel K(x, y) = exp(-(x - y)^2 / (4 bandwidth^2)).

    Two Gaussian densities overlap so. The kernel is smooth and needs no fixed intensity range.

    Attributes:
        bandwidth: standard deviation of one density, in image intensity.
    """

    bandwidth: float = 8 / 255

    def __post_init__(self) -> None:
        if self.bandwidth <= 0:
            raise ValueError(f"the bandwidth must be positive, not {self.bandwidth}")

    def prepare(self, image: Tensor) -> Tensor:
        return image * (0.5 / self.bandwidth * math.sqrt(math.log2(math.e)))

    def similarity(self, first: Tensor, second: Tensor, out: Tensor) -> None:
        torch.sub(first, second, out=out)
        torch.addcmul(out.new_zeros(()), out, out, value=-1, out=out).clamp_(min=-_LARGEST_EXPONENT).exp2_()


@dataclass(frozen=True)
class HistogramKernel:
    """Histogram kernel: 1 for two pixels in the same bin, else 0.

    Eq. 1 then equals the plug-in mutual information of the patches' histograms.

    Attributes:
        bins: number of equal bins over [0, 1]; the outer bins also hold everything beyond.
    """

    bins: int = 16

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise ValueError(f"there must be at least one bin, not {self.bins}")

    def prepare(self, image: Tensor) -> Tensor:
        return (image * self.bins).floor_().clamp_(0, self.bins - 1)

    def similarity(self, first: Tensor, second: Tensor, out: Tensor) -> None:
        torch.eq(first, second, out=out)
