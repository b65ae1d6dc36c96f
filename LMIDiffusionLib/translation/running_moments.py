"""Mean and spread of samples that come in groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Moments:
    """Of all samples so far, voxel by voxel.

    Attributes:
        count: how many.
        mean: of their values.
        squares: sum of their squared deviations from it.
    """

    count: NDArray[np.float32]
    mean: NDArray[np.float32]
    squares: NDArray[np.float32]

    @classmethod
    def of_none(cls, shape: tuple[int, ...]) -> Moments:
        """Before the first sample."""
        return cls(*(np.zeros(shape, np.float32) for _ in range(3)))

    def merge(self, other: Moments) -> None:
        """Take in the samples of another group (Chan, Golub and LeVeque 1983)."""
        total = self.count + other.count
        share = np.divide(other.count, total, out=np.zeros_like(total), where=total > 0)
        difference = other.mean - self.mean
        self.mean += share * difference
        self.squares += other.squares + difference**2 * self.count * share
        self.count = total

    def deviation(self) -> NDArray[np.float32]:
        """Standard deviation of the samples; 0 of fewer than two."""
        none = np.zeros_like(self.count)
        return np.sqrt(np.divide(self.squares, self.count - 1, out=none, where=self.count > 1))
