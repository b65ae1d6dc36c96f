"""Mappings that are fitted on the ground truth: anchors for tables, and no methods of translation."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .intensity_mapping import IntensityMapping

_BINS = 256


class NoLabelsError(UserError):
    """A pair without labels of tissues, which a method needs."""


class Oracle(IntensityMapping):
    """A mapping that must see the true target before it is used."""

    @abstractmethod
    def fit(
        self, source: NDArray[np.float32], target: NDArray[np.float32], tissues: NDArray[np.uint8] | None
    ) -> Oracle:
        """Fit the mapping to one pair.

        Args:
            source: (I, J, K) in [0, 1].
            target: the true target on the same grid, in [0, 1].
            tissues: 1 CSF, 2 gray matter, 3 white matter, 0 elsewhere; None where they are not known.

        Raises:
            NoLabelsError: the mapping needs tissues.
        """


class ToneMap(Oracle):
    """The mean of the true target for each intensity of the source.

    No other function of a voxel's intensity alone has a smaller squared error on the pair, up to its 256 bins.

    Attributes:
        means_: mean target intensity by bin of the source intensity, after `fit`.
    """

    means_: NDArray[np.float64]

    def fit(
        self, source: NDArray[np.float32], target: NDArray[np.float32], tissues: NDArray[np.uint8] | None
    ) -> ToneMap:
        bins = _bins(source).ravel()
        counts = np.bincount(bins, minlength=_BINS)
        sums = np.bincount(bins, weights=target.ravel(), minlength=_BINS)
        self.means_ = sums / np.maximum(counts, 1)
        return self

    def map(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.means_[_bins(volume)].astype(np.float32)


def _bins(volume: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.minimum(volume * _BINS, _BINS - 1).astype(np.int64)


class Repainting(Oracle):
    """Every tissue in the mean intensity of the true target; a tone map where no tissue is labeled.

    It shows what a perfect segmentation into three tissues would give.

    Attributes:
        painted_: the repainted volume, after `fit`.
    """

    painted_: NDArray[np.float32]

    def fit(
        self, source: NDArray[np.float32], target: NDArray[np.float32], tissues: NDArray[np.uint8] | None
    ) -> Repainting:
        if tissues is None:
            raise NoLabelsError("Repainting needs a label map of tissues or of DLMUSE as the pair's mask.")
        outside = tissues == 0
        self.painted_ = np.empty_like(target)
        self.painted_[outside] = ToneMap().fit(source[outside], target[outside], None).map(source[outside])
        for tissue in np.unique(tissues[~outside]):
            self.painted_[tissues == tissue] = target[tissues == tissue].mean()
        return self

    def map(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.painted_
