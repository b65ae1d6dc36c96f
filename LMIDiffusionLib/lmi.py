"""Local mutual information (LMI) of two images, eq. 1 of Wang et al. (arXiv 2404.01102).

For the n = p * p samples (x_k, y_k) of a pair of p x p patches and a kernel K of pixel pairs::

    I = 1/n sum_k log( p(x_k, y_k) / (p(x_k) p(y_k)) )
    p(x_k) = 1/n sum_l K(x_k, x_l),   p(x_k, y_k) = 1/n sum_l K(x_k, x_l) K(y_k, y_l)

The LMI at a pixel is the largest I between the patch of the reference there and the patches of the image in a search
window around it. K depends on the two pixels alone and is symmetric, so it is computed once per image for half the
pixel offsets; a candidate of the search window only shifts the image's kernels.

The images are cut into square blocks that overlap by what their patches need. A tile is as many blocks as fit the
processor's cache, side by side in the lanes of a table whose rows are pixels or pixel pairs: a shift is another row,
and the density of every pixel of every patch is the sum of a few rows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

# Side of a block without its overlap: larger ones overlap less, smaller ones leave more lanes to a tile.
_BLOCK_SIZE = 12
# Bytes of one thread's tile: it should stay in a core's second-level cache.
_CPU_TILE_BYTES = 9 * 2**18
_GPU_TILE_BYTES = 512 * 2**20
# Lanes of a tile are whole cache lines.
_LANE_GROUP = 16
# The mode of torch.embedding_bag that adds.
_SUM = 0
# A product of densities is taken before one logarithm; float32 must hold it.
_LARGEST_PRODUCT = 1e37
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
        torch.sub(first, second, out=out).square_().clamp_(max=_LARGEST_EXPONENT).neg_().exp2_()


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


def local_mutual_information(
    reference: Tensor,
    image: Tensor,
    *,
    patch_size: int = 3,
    search_size: int = 3,
    kernel: PairKernel = GaussianKernel(),
) -> Tensor:
    """LMI map of two images, eq. 1 (see the module's text), with replicated borders.

    Args:
        reference: images (B, 1, H, W), float32 or float64; the patch at a pixel is taken here.
        image: images of the same shape, dtype and device; its patches are searched.
        patch_size: side p of the square patches, odd.
        search_size: side of the square search window in pixels, odd; 1 compares patches at the same place.
        kernel: `GaussianKernel` or `HistogramKernel`.

    Returns:
        Map (B, 1, H, W) in nats, at most 2 log(p).

    Raises:
        ValueError: shapes, dtypes or sizes are not as described.
    """
    _check(reference, image, patch_size, search_size)
    if patch_size == 1:
        return torch.zeros_like(reference)
    search = search_size // 2
    reference_blocks = _blocks(kernel.prepare(reference), patch_size // 2)
    image_blocks = _blocks(kernel.prepare(image), patch_size // 2 + search)
    result = reference.new_empty(_BLOCK_SIZE**2, reference_blocks.shape[1])
    tile: _Tile | None = None
    for lanes in _lanes(result, patch_size, search):
        width = lanes.stop - lanes.start
        if tile is None or tile.width != width:
            tile = _Tile(result[:, lanes], patch_size=patch_size, search=search, kernel=kernel)
        result[:, lanes] = tile.largest_information(reference_blocks[:, lanes], image_blocks[:, lanes])
    return _picture(result, reference)


def _check(reference: Tensor, image: Tensor, patch_size: int, search_size: int) -> None:
    if reference.ndim != 4 or reference.shape[1] != 1 or reference.shape != image.shape:
        raise ValueError(f"expected two (B, 1, H, W) images, not {tuple(reference.shape)} and {tuple(image.shape)}")
    if reference.dtype not in (torch.float32, torch.float64) or reference.dtype != image.dtype:
        raise ValueError(f"expected float32 or float64 for both images, not {reference.dtype} and {image.dtype}")
    check_sizes(patch_size, search_size)


def check_sizes(patch_size: int, search_size: int) -> None:
    """Raise ValueError unless both sides are odd and positive."""
    for name, size in (("patch_size", patch_size), ("search_size", search_size)):
        if size < 1 or size % 2 == 0:
            raise ValueError(f"{name} must be odd and positive, not {size}")


def _blocks(image: Tensor, reach: int) -> Tensor:
    """Overlapping square blocks of an image (B, 1, H, W), with replicated borders: (pixels of a block, blocks)."""
    down, right = (-side % _BLOCK_SIZE for side in image.shape[-2:])
    padded = functional.pad(image, (reach, reach + right, reach, reach + down), mode="replicate")
    side = _BLOCK_SIZE + 2 * reach
    return functional.unfold(padded, side, stride=_BLOCK_SIZE).transpose(0, 1).reshape(side**2, -1)


def _picture(blocks: Tensor, like: Tensor) -> Tensor:
    """The image of that shape of which these are the blocks, without overlap."""
    batch, _, height, width = like.shape
    down, right = -(-height // _BLOCK_SIZE), -(-width // _BLOCK_SIZE)
    rows = blocks.view(_BLOCK_SIZE, _BLOCK_SIZE, batch, down, right).permute(2, 3, 0, 4, 1)
    return rows.reshape(batch, 1, down * _BLOCK_SIZE, right * _BLOCK_SIZE)[..., :height, :width].contiguous()


def _lanes(blocks: Tensor, patch_size: int, search: int) -> Iterator[slice]:
    """Ranges of blocks whose kernels and densities fit the memory budget of the device."""
    budget = _GPU_TILE_BYTES if blocks.device.type != "cpu" else _CPU_TILE_BYTES * torch.get_num_threads()
    side = _BLOCK_SIZE + patch_size - 1
    pairs = 2 * patch_size * (patch_size - 1) * (2 * side**2 + (side + 2 * search) ** 2)
    width = budget // ((pairs + (patch_size * _BLOCK_SIZE) ** 2) * blocks.element_size())
    width = max(_LANE_GROUP, width // _LANE_GROUP * _LANE_GROUP)
    for first in range(0, blocks.shape[1], width):
        yield slice(first, min(first + width, blocks.shape[1]))


class _Tile:
    """Blocks of both images, side by side in lanes; what is as wide as the last one reuses its memory."""

    def __init__(self, like: Tensor, *, patch_size: int, search: int, kernel: PairKernel) -> None:
        width = like.shape[1]
        self._kernel = kernel
        self._likelihood = _likelihood(patch_size)
        side, image_size = _BLOCK_SIZE + patch_size - 1, _BLOCK_SIZE + 2 * search
        self._reference = _KernelTable(like, side, patch_size)
        self._joint = _KernelTable(like, side, patch_size)
        self._image = _KernelTable(like, side + 2 * search, patch_size)
        self._reference_alone = like.new_empty(_BLOCK_SIZE, _BLOCK_SIZE, width)
        self._together = torch.empty_like(self._reference_alone)
        self._image_alone = like.new_empty(image_size, image_size, width)
        self._candidates = [
            (
                self._image.planes[:, down : down + side, right : right + side],
                self._image_alone[down : down + _BLOCK_SIZE, right : right + _BLOCK_SIZE],
            )
            for down in range(2 * search + 1)
            for right in range(2 * search + 1)
        ]

    @property
    def width(self) -> int:
        """Number of lanes."""
        return self._together.shape[-1]

    def largest_information(self, reference: Tensor, image: Tensor) -> Tensor:
        """Maximum of I over the search window, (pixels of a block, lanes), of blocks with their overlap."""
        likelihood = self._likelihood
        self._reference.fill(reference, self._kernel)
        likelihood.write(self._reference.densities(), self._reference_alone)
        self._image.fill(image, self._kernel)
        likelihood.write(self._image.densities(), self._image_alone)
        best = torch.full_like(self._together, -math.inf)
        for planes, alone in self._candidates:
            torch.mul(self._reference.planes, planes, out=self._joint.planes)
            likelihood.write(self._joint.densities(), self._together)
            torch.maximum(best, likelihood.ratio_(self._together, alone), out=best)
        information = likelihood.logarithm(best).sub_(likelihood.logarithm(self._reference_alone))
        return information.div_(self._joint.samples).add_(math.log(self._joint.samples)).flatten(0, 1)


class _Likelihood(Protocol):
    """Of the pixels of a patch: the product of their n densities, each n times p in eq. 1."""

    def write(self, densities: Tensor, out: Tensor) -> None:
        """Write the product over the first dimension to `out`; `densities` may change."""

    def ratio_(self, together: Tensor, alone: Tensor) -> Tensor:
        """together / alone, in the place of together."""

    def logarithm(self, likelihood: Tensor) -> Tensor:
        """Natural logarithm."""


class _Product:
    """A likelihood as it is: one logarithm, at the end, serves all its factors and all candidates."""

    def write(self, densities: Tensor, out: Tensor) -> None:
        torch.prod(densities, 0, out=out)

    def ratio_(self, together: Tensor, alone: Tensor) -> Tensor:
        return together.div_(alone)

    def logarithm(self, likelihood: Tensor) -> Tensor:
        return likelihood.log()


class _SumOfLogarithms:
    """The logarithm of a likelihood that float32 cannot hold."""

    def write(self, densities: Tensor, out: Tensor) -> None:
        torch.sum(densities.log_(), 0, out=out)

    def ratio_(self, together: Tensor, alone: Tensor) -> Tensor:
        return together.sub_(alone)

    def logarithm(self, likelihood: Tensor) -> Tensor:
        return likelihood.clone()


def _likelihood(patch_size: int) -> _Likelihood:
    samples = patch_size**2
    return _Product() if samples * math.log(samples) < math.log(_LARGEST_PRODUCT) else _SumOfLogarithms()


class _KernelTable:
    """K of the pixel pairs of blocks, one block in each lane (column).

    Row 0 is K of a pixel and itself. The others are planes, one for each offset from a pixel to one that follows it in
    reading order within a patch; the row of a plane is the pair's first pixel. Pairs across the block's border mean
    nothing and are never read.

    Attributes:
        samples: pixels of a patch.
        planes: (offsets, side, side, lanes), to be filled.
    """

    def __init__(self, like: Tensor, side: int, patch_size: int) -> None:
        """For blocks of that side in as many lanes as `like` (..., lanes) has."""
        offsets = _offsets(side, patch_size)
        count, lanes = sum(map(len, offsets)), like.shape[1]
        self._rows = like.new_ones(1 + count * side**2, lanes)
        self.planes = self._rows[1:].view(count, side, side, lanes)
        self._sums = _density_rows(side, patch_size, like.device)
        corners = side - patch_size + 1
        self.samples = patch_size**2
        self._shape = (self.samples, corners, corners, lanes)
        padded = like.new_zeros(side**2 + offsets[-1][-1], lanes)
        self._pixels = padded[: side**2]
        followers = padded.unfold(0, side**2, 1).transpose(1, 2)
        planes = self.planes.flatten(1, 2).split([len(row) for row in offsets])
        self._pairs = [(followers[row.start : row.stop], out) for row, out in zip(offsets, planes, strict=True)]

    def fill(self, blocks: Tensor, kernel: PairKernel) -> None:
        """Compute K of blocks (pixels, lanes)."""
        self._pixels.copy_(blocks)
        for followers, out in self._pairs:
            kernel.similarity(self._pixels, followers, out)

    def densities(self) -> Tensor:
        """sum_l K(k, l) of every pixel k of every whole patch: (n, rows, columns, lanes)."""
        return _row_sums(self._rows, self._sums).view(self._shape)


def _offsets(side: int, patch_size: int) -> list[range]:
    """Offsets between a pixel and those that follow it in a patch, by rows; the pixels of a block are numbered."""
    reach = patch_size - 1
    rows = [range(down * side - reach, down * side + reach + 1) for down in range(1, patch_size)]
    return [range(1, patch_size), *rows]


@functools.lru_cache(maxsize=16)
def _density_rows(side: int, patch_size: int, device: torch.device) -> Tensor:
    """Rows of the table whose sum is a density: (n, n * patches of a block), patch pixel after patch pixel."""
    offsets = torch.tensor([offset for row in _offsets(side, patch_size) for offset in row])
    pixels = torch.arange(side**2).view(side, side)
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
    """Sums of the table's rows in each of `rows` (sums, terms)."""
    if table.dtype == torch.float32 and table.device.type in ("cpu", "cuda"):
        return torch.embedding_bag(table, rows.flatten(), _bag_starts(*rows.shape, rows.device), False, _SUM)[0]
    total = table.index_select(0, rows[:, 0])
    for term in rows[:, 1:].unbind(1):
        total.add_(table.index_select(0, term))
    return total
