"""Local mutual information (LMI) of two images, eq. 1 of Wang et al. (arXiv 2404.01102).

For the n = p * p samples (x_k, y_k) of a pair of p x p patches and a kernel K of pixel pairs::

    I = 1/n sum_k log( p(x_k, y_k) / (p(x_k) p(y_k)) )
    p(x_k) = 1/n sum_l K(x_k, x_l),   p(x_k, y_k) = 1/n sum_l K(x_k, x_l) K(y_k, y_l)

The LMI at a pixel is the largest I between the patch of the reference there and the patches of the image in a search
window around it.

Imports nothing else of the library. `tiles` computes the map on any device, `triton_kernel` on NVIDIA GPUs; begin with
`local_mutual_information`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from .kernels import GaussianKernel as GaussianKernel
from .kernels import HistogramKernel as HistogramKernel
from .kernels import PairKernel as PairKernel
from .tiles import largest_information


def local_mutual_information(
    reference: Tensor,
    image: Tensor,
    *,
    patch_size: int = 3,
    search_size: int = 3,
    kernel: PairKernel = GaussianKernel(),
) -> Tensor:
    """Compute the LMI map of two images by eq. 1 (see the package's docstring), with replicated borders.

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
    compute = _implementation(reference, kernel)
    return compute(reference, image, patch_size=patch_size, search=search_size // 2, kernel=kernel)


def _implementation(reference: Tensor, kernel: PairKernel) -> Callable[..., Tensor]:
    """Return the Triton implementation where it applies, else the plain one."""
    is_covered = reference.dtype == torch.float32 and isinstance(kernel, GaussianKernel | HistogramKernel)
    if reference.is_cuda and is_covered and _triton_works(reference.device):
        from . import triton_kernel

        return triton_kernel.largest_information
    return largest_information


@functools.cache
def _triton_works(device: torch.device) -> bool:
    """Return True if Triton is installed and can compile; it needs a C compiler and Python's headers."""
    if find_spec("triton") is None:
        return False
    probe = torch.zeros(1, 1, 1, 1, dtype=torch.float32, device=device)
    try:
        from . import triton_kernel

        triton_kernel.largest_information(probe, probe, patch_size=3, search=1, kernel=GaussianKernel())
    except Exception:  # compilers and drivers raise anything; the plain implementation gives the same map
        return False
    return True


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
