"""Methods that change intensities alone: none of them, and histogram matching."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..intensity import head_mask, to_unit_scale
from ..progress import Progress
from ..translation import SliceBatch, TranslationOptions, VolumeTranslator
from ..volume import Volume

_QUANTILES = np.linspace(0, 1, 257)


class IntensityMapping(VolumeTranslator):
    """A method that gives every voxel a new intensity, whatever its place."""

    @abstractmethod
    def map(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        """New intensities of a volume in [0, 1]."""

    def translate_slices(
        self,
        volume: Volume,
        indices: list[int],
        options: TranslationOptions = TranslationOptions(),
        *,
        cancel: Callable[[], bool] = lambda: False,
    ) -> Iterator[Progress | SliceBatch]:
        """All slices as one batch of one sample; `options` and `cancel` have no bearing on it."""
        slices = self.grid(volume).slices(self.map(to_unit_scale(volume.array)))
        yield SliceBatch(indices, slices[indices][None])


class Identity(IntensityMapping):
    """The source as it is, on the common intensity scale."""

    def map(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return volume


class HistogramMatching(IntensityMapping):
    """Gives the head of a source volume the histogram of target-modality heads; air stays dark.

    Attributes:
        quantiles_: intensities of the target's head at 257 equal steps of probability, after `fit`.
    """

    quantiles_: NDArray[np.float64]

    def fit(self, slices: Tensor) -> HistogramMatching:
        """Learn the pooled histogram of the heads in target-modality slices (N, 1, H, W) in [0, 1]."""
        intensities = slices.numpy()
        self.quantiles_ = np.quantile(intensities[head_mask(intensities)], _QUANTILES)
        return self

    def map(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        own = np.quantile(volume[head_mask(volume)], _QUANTILES)
        own, first = np.unique(own, return_index=True)
        return np.interp(volume, np.r_[0, own], np.r_[0, self.quantiles_[first]]).astype(np.float32)
