"""References for run time: the paper's public code, and a 3-D network of the size of SynthSR's."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UserError

SYNTHSR_SHAPE = (160, 192, 224)
"""Voxels of a head at 1 mm along each axis."""
_FEATURES, _LEVELS = 24, 5
# Modules that the authors' LMI imports but does not use.
_UNUSED_MODULES = ("torchvision", "torchvision.transforms", "matplotlib", "matplotlib.pyplot")


class VolumeNetwork(nn.Module):
    """A 3-D U-Net of the size of SynthSR's (Iglesias et al. 2023), with random weights.

    Five levels of two convolutions each, 24 features on the finest and twice as many on each coarser one.
    """

    def __init__(self, features: int = _FEATURES, levels: int = _LEVELS) -> None:
        super().__init__()
        widths = [features * 2**level for level in range(levels)]
        self.encoder = nn.ModuleList(
            _convolutions(inputs, width) for inputs, width in zip([1, *widths[:-1]], widths, strict=True)
        )
        coarse = list(reversed(widths))
        self.decoder = nn.ModuleList(_convolutions(below + width, width) for below, width in itertools.pairwise(coarse))
        self.last = nn.Conv3d(features, 1, 1)

    def forward(self, volume: Tensor) -> Tensor:
        """Map a volume (B, 1, I, J, K), whose sides are multiples of 2^(levels - 1), to a volume of the same shape."""
        skips = []
        for level, convolutions in enumerate(self.encoder):
            volume = convolutions(functional.max_pool3d(volume, 2) if level else volume)
            skips.append(volume)
        volume = skips.pop()
        for convolutions in self.decoder:
            enlarged = functional.interpolate(volume, scale_factor=2.0, mode="nearest")
            volume = convolutions(torch.cat([skips.pop(), enlarged], 1))
        return self.last(volume)


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv3d(inputs, outputs, 3, padding=1), nn.ELU(inplace=True)),
        *(nn.Conv3d(outputs, outputs, 3, padding=1), nn.ELU(inplace=True), nn.BatchNorm3d(outputs)),
    )


def authors_lmi(folder: Path) -> Callable[[Tensor, Tensor], object]:
    """Import `statistical_align` from the authors' public code, for patches of 3 x 3 pixels.

    Raises:
        UserError: the folder does not hold that code.
    """
    with _importable(folder):
        try:
            align = importlib.import_module("models.conditioner").statistical_align
        except (ImportError, AttributeError) as error:
            message = f"{folder} is not the authors' code ({error}); give a copy of mgh-ccni/midiffusion."
            raise UserError(message) from error
    return lambda reference, image: align(reference, image, 3)


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Make the authors' modules importable without the packages that their LMI never calls."""
    stand_ins = {name: types.ModuleType(name) for name in _UNUSED_MODULES if name not in sys.modules}
    for name, module in stand_ins.items():
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in stand_ins:
            del sys.modules[name]
