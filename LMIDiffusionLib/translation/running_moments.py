"""Mean and variance of samples that arrive in groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class RunningMoments:
    """Voxelwise count, mean and sum of squared deviations of all samples so far.

    Attributes:
        count: number of samples.
        mean: of their values.
        squares: sum of their squared deviations from the mean.
    """

    count: NDArray[np.float32]
    mean: NDArray[np.float32]
    squares: NDArray[np.float32]

    def merge(self, other: RunningMoments) -> None:
        """Add the samples of another group (Chan, Golub and LeVeque 1983)."""
        total = self.count + other.count
        share = np.divide(other.count, total, out=np.zeros_like(total), where=total > 0)
        difference = other.mean - self.mean
        self.mean += share * difference
        self.squares += other.squares + difference**2 * self.count * share
        self.count = total

    def distance_from(self, point: NDArray[np.number]) -> NDArray[np.float32]:
        """Return the root mean square distance of the samples from a point; 0 where there are no samples."""
        none = np.zeros_like(self.count)
        variance = np.divide(self.squares, self.count, out=none, where=self.count > 0)
        return np.where(self.count > 0, np.sqrt(variance + (self.mean - point) ** 2), 0).astype(np.float32)
