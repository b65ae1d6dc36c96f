"""Baselines that map intensities: identity, inversion, and histogram matching."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..images.normalization import head_mask, to_unit_scale
from ..translation.options import TranslationOptions
from ..translation.sliced_volume import SlicedVolume
from ..translation.translator import Translator

_QUANTILES = np.linspace(0, 1, 257)


class IntensityMapping(Translator):
    """Translator that maps the intensity of every voxel, whatever its place."""

    device = torch.device("cpu")
    batch_size = sys.maxsize  # the whole volume is mapped for each batch

    @abstractmethod
    def map(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map the intensities of a volume in [0, 1]."""

    def sample(
        self,
        source: SlicedVolume,
        indices: list[int],
        *,
        number: int,
        options: TranslationOptions,
        on_step: Callable[[], None],
    ) -> Tensor:
        slices = source.grid.slices(self.map(source.scaled))[indices]
        on_step()
        return slices


class Identity(IntensityMapping):
    """The untranslated source on the common intensity scale."""

    def map(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return volume


class Inversion(IntensityMapping):
    """Reverses the intensities of the head on the common scale; air and bone stay dark."""

    def map(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return to_unit_scale(np.where(head_mask(volume), 1 - volume, volume))


class HistogramMatching(IntensityMapping):
    """Gives the head of a source volume the histogram of target-modality heads; air stays dark.

    Attributes:
        quantiles_: intensities of the target's head at 257 equal steps of probability, after `fit`.
    """

    quantiles_: NDArray[np.float64]

    def fit(self, scans: Iterable[NDArray[np.number]]) -> HistogramMatching:
        """Pool the histograms of the heads in scans of the target modality, in any units."""
        scaled = map(to_unit_scale, scans)
        self.quantiles_ = np.quantile(np.concatenate([each[head_mask(each)] for each in scaled]), _QUANTILES)
        return self

    def map(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        own = np.quantile(volume[head_mask(volume)], _QUANTILES)
        own, first = np.unique(own, return_index=True)
        return np.interp(volume, np.r_[0, own], np.r_[0, self.quantiles_[first]]).astype(np.float32)
