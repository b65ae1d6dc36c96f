"""Mean and spread of weighted samples that come in groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Moments:
    """Of all samples so far, voxel by voxel.

    Attributes:
        weight: sum of their weights.
        squared_weights: sum of the squares of these.
        mean: weighted, of their values.
        squares: weighted sum of their squared deviations from it.
    """

    weight: NDArray[np.float32]
    squared_weights: NDArray[np.float32]
    mean: NDArray[np.float32]
    squares: NDArray[np.float32]

    @classmethod
    def of_none(cls, shape: tuple[int, ...]) -> Moments:
        """Before the first sample."""
        return cls(*(np.zeros(shape, np.float32) for _ in range(4)))

    def merge(self, other: Moments) -> None:
        """Take in the samples of another group (Chan, Golub and LeVeque 1983)."""
        total = self.weight + other.weight
        share = np.divide(other.weight, total, out=np.zeros_like(total), where=total > 0)
        difference = other.mean - self.mean
        self.mean += share * difference
        self.squares += other.squares + difference**2 * self.weight * share
        self.squared_weights += other.squared_weights
        self.weight = total

    def deviation(self) -> NDArray[np.float32]:
        """Standard deviation of the samples, whose weights say how far each is to be trusted; 0 of fewer than two."""
        none = np.zeros_like(self.weight)
        lost = np.divide(self.squared_weights, self.weight, out=none.copy(), where=self.weight > 0)
        left = self.weight - lost
        return np.sqrt(np.divide(self.squares, left, out=none, where=left > 1e-3))
