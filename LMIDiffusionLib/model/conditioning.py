"""Condition maps, which steer the score network: what it sees of the source slice beside the noisy slice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..lmi import GaussianKernel, HistogramKernel, check_sizes, local_mutual_information

SOURCE_MAPS = ("self", "sobel", "intensity")
"""Maps of the source F alone: LMI(F, F), the magnitude of the Sobel gradient, and F itself."""
MAPS = (*SOURCE_MAPS, "cross")
"""All maps; `cross` is LMI(F, F_t) of the source and the noisy slice F_t."""

_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
# Divided by this, the gradient of a step from 0 to 1 has magnitude 1.
_SOBEL_STEP = 4.0


@dataclass(frozen=True)
class Condition:
    """The maps of a source F and a noisy slice F_t that condition the network, and the settings of their LMI.

    The paper's condition LMI(F; F, F_t) consists of the self map LMI(F, F) and the cross map LMI(F, F_t), each divided
    by its bound 2 log p. Training and translation both build their maps here, so the maps cannot differ.

    Attributes:
        maps: names from `MAPS`.
        patch_sizes: sides of the square LMI patches in pixels, odd; each LMI map is computed for every size.
        search_size: side of the square LMI search window in pixels, odd.
        kernel: kernel of the LMI's densities.
    """

    maps: tuple[str, ...] = ("self", "cross")
    patch_sizes: tuple[int, ...] = (3,)
    search_size: int = 3
    kernel: GaussianKernel | HistogramKernel = GaussianKernel()

    def __post_init__(self) -> None:
        if not self.maps or len(set(self.maps)) < len(self.maps) or not set(self.maps) <= set(MAPS):
            raise ValueError(f"maps must be one or more of {', '.join(MAPS)}, each once, not {self.maps}")
        if not self.patch_sizes or min(self.patch_sizes) < 3 or len(set(self.patch_sizes)) < len(self.patch_sizes):
            raise ValueError(f"patch sizes must differ and be at least 3, not {self.patch_sizes}")
        for patch_size in self.patch_sizes:
            check_sizes(patch_size, self.search_size)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the maps' channels, in order."""
        source = [name for kind in SOURCE_MAPS if kind in self.maps for name in self._names(kind)]
        return (*source, *(self._names("cross") if "cross" in self.maps else ()))

    def source_maps(self, source: Tensor) -> Tensor:
        """Compute the maps of the source (B, 1, H, W) in [0, 1] alone: (B, C, H, W) in [0, 1], C may be 0."""
        maps = [self._source_map(kind, source) for kind in SOURCE_MAPS if kind in self.maps]
        return torch.cat([source[:, :0], *maps], 1)

    def noisy_maps(self, source: Tensor, noisy: Tensor) -> Tensor:
        """Compute the maps of the source and the noisy slice, both (B, 1, H, W): (B, C, H, W), C may be 0.

        The maps lie in [0, 1] up to the bias of the density estimate.
        """
        return self._lmi(source, noisy) if "cross" in self.maps else source[:, :0]

    def all_maps(self, source: Tensor, noisy: Tensor) -> Tensor:
        """Compute all maps in the order of `channels`, (B, len(channels), H, W)."""
        return torch.cat([self.source_maps(source), self.noisy_maps(source, noisy)], 1)

    def _source_map(self, kind: str, source: Tensor) -> Tensor:
        if kind == "self":
            return self._lmi(source, source)
        return sobel(source) if kind == "sobel" else source

    def _lmi(self, reference: Tensor, image: Tensor) -> Tensor:
        maps = [
            local_mutual_information(
                reference, image, patch_size=patch_size, search_size=self.search_size, kernel=self.kernel
            ).div_(2 * math.log(patch_size))
            for patch_size in self.patch_sizes
        ]
        return torch.cat(maps, 1)

    def _names(self, kind: str) -> list[str]:
        return [f"{kind} {size}" for size in self.patch_sizes] if kind in ("self", "cross") else [kind]


def sobel(image: Tensor) -> Tensor:
    """Return the magnitude of the Sobel gradient of images (B, 1, H, W), 1 at a straight edge from 0 to 1.

    Borders are replicated.
    """
    across = torch.tensor(_SOBEL, dtype=image.dtype, device=image.device) / _SOBEL_STEP
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, torch.stack([across, across.T])[:, None]).norm(dim=1, keepdim=True)
