"""Local mutual information (LMI) of two images, eq. 1 of Wang et al. (arXiv 2404.01102).

For the n = p * p samples (x_k, y_k) of a pair of p x p patches and a kernel K of pixel pairs::

    I = 1/n sum_k log( p(x_k, y_k) / (p(x_k) p(y_k)) )
    p(x_k) = 1/n sum_l K(x_k, x_l),   p(x_k, y_k) = 1/n sum_l K(x_k, x_l) K(y_k, y_l)

The LMI at a pixel is the largest I between the patch of the reference there and the patches of the image in a search
window around it. K depends on the two pixels alone, so it is computed once per image and pixel offset; a candidate of
the search window only shifts the image's kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

Offset = tuple[int, int]
Kernels = dict[Offset, Tensor]

# Bytes of kernel images held at once: bounds the memory, yet gives every operation enough work.
_CPU_TILE_BYTES = 40 * 2**20
_GPU_TILE_BYTES = 512 * 2**20
# A product of densities is taken before one logarithm; float32 must hold it.
_LARGEST_PRODUCT = 1e30


class PairKernel(Protocol):
    """A symmetric similarity of two pixels in [0, 1], 1 for equal ones."""

    def prepare(self, image: Tensor) -> Tensor:
        """What `similarity` compares, computed once per image."""

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """Elementwise K(first, second)."""


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
        return image * (0.5 / self.bandwidth)

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        return (first - second).square_().neg_().exp_()


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

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        return (first == second).to(first.dtype)


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
    reach = patch_size // 2 + search_size // 2
    padded_reference, padded_image = (
        functional.pad(kernel.prepare(each), (reach,) * 4, mode="replicate") for each in (reference, image)
    )
    result = torch.empty_like(reference)
    for batch, rows in _tiles(reference, patch_size, reach):
        halo = slice(rows.start, rows.stop + 2 * reach)
        result[batch, :, rows] = _largest_information(
            padded_reference[batch, :, halo],
            padded_image[batch, :, halo],
            patch_size=patch_size,
            search_size=search_size,
            kernel=kernel,
        )
    return result


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


def _tiles(image: Tensor, patch_size: int, reach: int) -> Iterator[tuple[slice, slice]]:
    """(batch, row) ranges whose kernels fit the memory budget of the device."""
    batch, _, height, width = image.shape
    budget = _CPU_TILE_BYTES if image.device.type == "cpu" else _GPU_TILE_BYTES
    row_bytes = 2 * len(_half_offsets(patch_size)) * (width + 2 * reach) * image.element_size()
    rows = max(1, min(height, budget // row_bytes - 2 * reach))
    images = max(1, budget // (row_bytes * (rows + 2 * reach)))
    for first in range(0, batch, images):
        for top in range(0, height, rows):
            yield slice(first, min(first + images, batch)), slice(top, min(top + rows, height))


def _largest_information(
    reference: Tensor, image: Tensor, *, patch_size: int, search_size: int, kernel: PairKernel
) -> Tensor:
    """Maximum of I over the search window; both images are padded by the reach of patch and window."""
    search = search_size // 2
    inner = slice(search, -search or None)
    reference_kernels = _pair_kernels(reference[..., inner, inner], patch_size, kernel)
    reference_entropy = _entropy(reference_kernels, patch_size)
    image_kernels = _pair_kernels(image, patch_size, kernel)
    height, width = reference_entropy.shape[-2:]
    image_entropies = _entropy(image_kernels, patch_size)
    best = torch.full_like(reference_entropy, -math.inf)
    product = {offset: torch.empty_like(k) for offset, k in reference_kernels.items()}
    for down in range(2 * search + 1):
        for right in range(2 * search + 1):
            for offset, k in reference_kernels.items():
                rows, columns = slice(down, down + k.shape[-2]), slice(right, right + k.shape[-1])
                torch.mul(k, image_kernels[offset][..., rows, columns], out=product[offset])
            image_entropy = image_entropies[..., down : down + height, right : right + width]
            information = reference_entropy + image_entropy - _entropy(product, patch_size)
            best = torch.maximum(best, information, out=best)
    return best


def _positions(patch_size: int) -> list[Offset]:
    return [(row, column) for row in range(patch_size) for column in range(patch_size)]


def _half_offsets(patch_size: int) -> list[Offset]:
    """Offsets between two pixels of a patch; K is symmetric, so one of each pair of opposite ones."""
    reach = range(1 - patch_size, patch_size)
    return [(down, right) for down in reach for right in reach if (down, right) > (0, 0)]


def _pair_kernels(image: Tensor, patch_size: int, kernel: PairKernel) -> Kernels:
    """K between every pixel and the one at each offset, indexed by the upper-left corner of their bounding box."""

    def kernel_at(down: int, right: int) -> Tensor:
        height, width = image.shape[-2] - down, image.shape[-1] - abs(right)
        left, other_left = max(0, -right), max(0, right)
        return kernel.similarity(
            image[..., :height, left : left + width], image[..., down:, other_left : other_left + width]
        )

    return {offset: kernel_at(*offset) for offset in _half_offsets(patch_size)}


def _entropy(kernels: Kernels, patch_size: int) -> Tensor:
    """-1/n sum_k log(1/n sum_l K_kl) of every whole patch inside the kernels' image, in nats."""
    samples = patch_size**2
    first = kernels[0, 1]
    height, width = first.shape[-2] - patch_size + 1, first.shape[-1] - patch_size + 2
    per_logarithm = max(1, int(math.log(_LARGEST_PRODUCT) / math.log(samples)))
    total: Tensor | None = None
    product: Tensor | None = None
    for index, (row, column) in enumerate(_positions(patch_size)):
        density = _density(kernels, patch_size, row, column, height, width)
        product = density if product is None else product.mul_(density)
        if (index + 1) % per_logarithm == 0 or index + 1 == samples:
            logarithm, product = product.log_(), None
            total = logarithm if total is None else total.add_(logarithm)
    assert total is not None
    return total.div_(-samples).add_(math.log(samples))


def _density(kernels: Kernels, patch_size: int, row: int, column: int, height: int, width: int) -> Tensor:
    """sum_l K between the patch's pixel (row, column) and all its pixels l; the pixel itself contributes 1."""
    total: Tensor | None = None
    for other_row, other_column in _positions(patch_size):
        offset = (other_row - row, other_column - column)
        if offset == (0, 0):
            continue
        k = kernels[max(offset, (-offset[0], -offset[1]))]
        top, left = min(row, other_row), min(column, other_column)
        term = k[..., top : top + height, left : left + width]
        total = term + 1 if total is None else total.add_(term)
    assert total is not None
    return total
