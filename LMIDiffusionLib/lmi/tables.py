"""Tables of kernel values: the densities of eq. 1 are sums of their rows."""

from __future__ import annotations

import functools
import math
from typing import Protocol

import torch
from torch import Tensor

from .kernels import PairKernel

# The mode of torch.embedding_bag that adds.
_SUM = 0
# A product of densities is taken before one logarithm; float32 must hold it.
_LARGEST_PRODUCT = 1e37
# Rounding errors by which a likelihood may miss its smallest or largest value and still count as that value.
_ROUNDING_ERRORS = 64


class Likelihood(Protocol):
    """Likelihood of a patch: the product over its n pixels of n p, where p is a density of eq. 1.

    Attributes:
        least: likelihood of a patch whose pixels all differ, plus rounding errors.
        largest: likelihood of a patch whose pixels are all equal, minus rounding errors.
    """

    least: float
    largest: float

    def write(self, densities: Tensor, out: Tensor) -> None:
        """Write the product over the first dimension to `out`; may overwrite `densities`."""

    def ratio_(self, together: Tensor, alone: Tensor) -> Tensor:
        """Divide `together` by `alone` in place and return it."""

    def logarithm(self, likelihood: Tensor) -> Tensor:
        """Return the natural logarithm of a likelihood."""


class _Product:
    """Likelihood stored as a product, so that one logarithm at the end serves all factors and candidates."""

    def __init__(self, samples: int, tolerance: float) -> None:
        self.least = 1 + tolerance
        self.largest = samples**samples * (1 - tolerance)

    def write(self, densities: Tensor, out: Tensor) -> None:
        torch.prod(densities, 0, out=out)

    def ratio_(self, together: Tensor, alone: Tensor) -> Tensor:
        return together.div_(alone)

    def logarithm(self, likelihood: Tensor) -> Tensor:
        return likelihood.log()


class _SumOfLogarithms:
    """Likelihood stored as a sum of logarithms, for products that float32 cannot hold."""

    def __init__(self, samples: int, tolerance: float) -> None:
        self.least = tolerance
        self.largest = samples * math.log(samples) - tolerance

    def write(self, densities: Tensor, out: Tensor) -> None:
        torch.sum(densities.log_(), 0, out=out)

    def ratio_(self, together: Tensor, alone: Tensor) -> Tensor:
        return together.sub_(alone)

    def logarithm(self, likelihood: Tensor) -> Tensor:
        return likelihood.clone()


def likelihood_for(patch_size: int, dtype: torch.dtype) -> Likelihood:
    """Return the likelihood of patches with side `patch_size`, in a form that the dtype can hold."""
    samples = patch_size**2
    kind = _Product if samples * math.log(samples) < math.log(_LARGEST_PRODUCT) else _SumOfLogarithms
    return kind(samples, _ROUNDING_ERRORS * torch.finfo(dtype).eps)


class KernelTable:
    """Kernel values K of all pixel pairs of a set of blocks; each lane (column) holds one block.

    Row 0 is K of a pixel with itself. The other rows form planes, one for each offset from a pixel to a later pixel of
    the same patch in reading order; the row within a plane is the pair's first pixel. Pairs that cross the block's
    border are computed but never read.

    Attributes:
        samples: pixels of a patch.
        planes: (offsets, side, side, lanes), to be filled.
    """

    def __init__(self, like: Tensor, side: int, patch_size: int, lanes: int) -> None:
        """Allocate a table for `lanes` blocks with side `side`, with the dtype and device of `like`."""
        offsets = _offsets(side, patch_size)
        count = sum(map(len, offsets))
        self._rows = like.new_ones(1 + count * side**2, lanes)
        self.planes = self._rows[1:].view(count, side, side, lanes)
        self._sums = _density_rows(side, patch_size, like.device)
        self._has_bags = like.dtype == torch.float32 and like.device.type in ("cpu", "cuda")
        self._bags, self._starts = self._sums.flatten(), _bag_starts(*self._sums.shape, like.device)
        corners = side - patch_size + 1
        self.samples = patch_size**2
        self._shape = (self.samples, corners, corners, lanes)
        padded = like.new_zeros(side**2 + offsets[-1][-1], lanes)
        self._pixels = padded[: side**2]
        followers = padded.unfold(0, side**2, 1).transpose(1, 2)
        planes = self.planes.flatten(1, 2).split([len(row) for row in offsets])
        self._pairs = [(followers[row.start : row.stop], out) for row, out in zip(offsets, planes, strict=True)]

    def fill(self, blocks: Tensor, kernel: PairKernel) -> None:
        """Compute K for blocks (lanes, pixels)."""
        self._pixels.copy_(blocks.T)
        for followers, out in self._pairs:
            kernel.similarity(self._pixels, followers, out)

    def densities(self) -> Tensor:
        """Return sum_l K(k, l) for every pixel k of every whole patch, (n, rows, columns, lanes)."""
        if not self._has_bags:
            return _row_sums(self._rows, self._sums).view(self._shape)
        return torch.embedding_bag(self._rows, self._bags, self._starts, False, _SUM)[0].view(self._shape)


def _offsets(side: int, patch_size: int) -> list[range]:
    """Return the offsets from a pixel to the later pixels of a patch, by rows, in the pixel numbers of a block."""
    reach = patch_size - 1
    rows = [range(down * side - reach, down * side + reach + 1) for down in range(1, patch_size)]
    return [range(1, patch_size), *rows]


@functools.lru_cache(maxsize=16)
def _density_rows(side: int, patch_size: int, device: torch.device) -> Tensor:
    """Return the table rows whose sum is a density, (n * patches of a block, n), patch pixel after patch pixel."""
    offsets = torch.tensor([offset for row in _offsets(side, patch_size) for offset in row], device="cpu")
    pixels = torch.arange(side**2, device="cpu").view(side, side)
    patch = pixels[:patch_size, :patch_size].flatten()
    corners = pixels[: side - patch_size + 1, : side - patch_size + 1].flatten()
    first, other = patch[:, None, None], patch[None, None, :]
    plane = torch.searchsorted(offsets, (first - other).abs())
    rows = 1 + plane * side**2 + corners[None, :, None] + torch.minimum(first, other)
    return rows.masked_fill_(first == other, 0).flatten(0, 1).int().to(device)


@functools.lru_cache(maxsize=16)
def _bag_starts(bags: int, terms: int, device: torch.device) -> Tensor:
    return torch.arange(0, bags * terms, terms, dtype=torch.int32, device=device)


def _row_sums(table: Tensor, rows: Tensor) -> Tensor:
    """Sum the table's rows listed in each row of `rows` (sums, terms)."""
    total = table.index_select(0, rows[:, 0])
    for term in rows[:, 1:].unbind(1):
        total.add_(table.index_select(0, term))
    return total
