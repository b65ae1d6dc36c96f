"""Kernels K of pixel pairs, from which local mutual information estimates its densities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# Similarities below 2^-60 count for nothing beside a pixel's own 1, but numbers near the smallest are slow.
_LARGEST_EXPONENT = 60.0


class PairKernel(Protocol):
    """A symmetric similarity of two pixels in [0, 1], 1 for equal ones."""

    def prepare(self, image: Tensor) -> Tensor:
        """What `similarity` compares, computed once per image."""

    def similarity(self, first: Tensor, second: Tensor, out: Tensor) -> None:
        """Write K(first, second), elementwise, to `out`."""


@dataclass(frozen=True)
class GaussianKernel:
    """Gaussian Parzen kernel; `bandwidth` is the standard deviation of one density, in image intensity.

    Two densities of that width overlap as exp(-d^2 / (4 bandwidth^2)). Smooth, and free of a fixed intensity range.
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
    """1 for pixels in the same of `bins` equal bins over [0, 1], else 0; the outer bins take all beyond.

    Eq. 1 is then the plug-in mutual information of the patches' histograms.
    """

    bins: int = 16

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise ValueError(f"there must be at least one bin, not {self.bins}")

    def prepare(self, image: Tensor) -> Tensor:
        return (image * self.bins).floor_().clamp_(0, self.bins - 1)

    def similarity(self, first: Tensor, second: Tensor, out: Tensor) -> None:
        torch.eq(first, second, out=out)
