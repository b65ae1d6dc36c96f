"""Local mutual information on NVIDIA GPUs, as one Triton kernel.

Each lane of a program computes one pixel of the map. It loops over the patches of its search window and the pixel pairs
of each patch and keeps running sums only: on a GPU, computing a similarity again is cheaper than storing it.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from .kernels import HistogramKernel, PairKernel

# Pixels of a program.
_BLOCK = 256


def largest_information(
    reference: Tensor, image: Tensor, *, patch_size: int, search: int, kernel: PairKernel
) -> Tensor:
    """Compute `tiles.largest_information` for float32 images and a `GaussianKernel` or `HistogramKernel`."""
    result = torch.empty_like(reference, memory_format=torch.contiguous_format)
    _information[(triton.cdiv(result.numel(), _BLOCK),)](
        kernel.prepare(reference).contiguous(),
        kernel.prepare(image).contiguous(),
        result,
        result.numel(),
        *result.shape[-2:],
        patch=patch_size,
        search=search,
        hard=isinstance(kernel, HistogramKernel),
        log_samples=math.log(patch_size**2),
        block=_BLOCK,
    )
    return result


@triton.jit
def _pixel(picture, row, column, height, width):
    """Load pixels with replicated borders; `picture` points to the first pixel of each lane's image."""
    row = tl.minimum(tl.maximum(row, 0), height - 1)
    column = tl.minimum(tl.maximum(column, 0), width - 1)
    return tl.load(picture + row * width + column)


@triton.jit
def _similarity(first, second, hard: tl.constexpr):
    """Compute K for prepared pixels."""
    return (first == second).to(tl.float32) if hard else tl.exp2(-(first - second) * (first - second))


@triton.jit
def _log_ratio(  # noqa: PLR0913, as a kernel takes no structures
    reference, image, row, column, down, right, height, width, patch: tl.constexpr, hard: tl.constexpr, like
):
    """Compute n I - n log n for the reference's patches at (row, column) and the image's at (down, right)."""
    total = tl.zeros_like(like)
    for k in range(patch * patch):
        x = _pixel(reference, row + k // patch, column + k % patch, height, width)
        y = _pixel(image, down + k // patch, right + k % patch, height, width)
        alone_x = tl.zeros_like(like)
        alone_y = tl.zeros_like(like)
        together = tl.zeros_like(like)
        for other in range(patch * patch):
            x_other = _pixel(reference, row + other // patch, column + other % patch, height, width)
            y_other = _pixel(image, down + other // patch, right + other % patch, height, width)
            like_x = _similarity(x, x_other, hard)
            like_y = _similarity(y, y_other, hard)
            alone_x += like_x
            alone_y += like_y
            together += like_x * like_y
        total += tl.log(together) - tl.log(alone_x) - tl.log(alone_y)
    return total


@triton.jit
def _information(  # noqa: PLR0913
    reference,
    image,
    result,
    count,
    height,
    width,
    patch: tl.constexpr,
    search: tl.constexpr,
    hard: tl.constexpr,
    log_samples: tl.constexpr,
    block: tl.constexpr,
):
    """Write the largest I of each of the `count` pixels of all images."""
    index = tl.program_id(0) * block + tl.arange(0, block)
    place = tl.minimum(index, count - 1)
    first = place // (height * width) * (height * width)
    row = (place - first) // width - patch // 2
    column = place % width - patch // 2
    window: tl.constexpr = 2 * search + 1
    best = tl.full((block,), -float("inf"), tl.float32)
    for candidate in range(window * window):
        down, right = row + candidate // window - search, column + candidate % window - search
        ratio = _log_ratio(reference + first, image + first, row, column, down, right, height, width, patch, hard, best)
        best = tl.maximum(best, ratio)
    tl.store(result + index, best / (patch * patch) + log_samples, mask=index < count)
