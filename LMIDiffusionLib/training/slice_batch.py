"""Batch of training slices."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class SliceBatch(NamedTuple):
    """Training slices with brain masks, gains, classes and class means.

    Attributes:
        images: (B, 1, H, W) in [0, 1].
        brains: masks (B, 1, H, W), 0 or 1.
        gains: (B, 1, 1, 1), factors that put the brain alone on the unit scale of intensity.
        classes: (B, 1, H, W), anatomical classes as integers.
        class_means: (B, MOST_CLASSES), mean intensity of each class in the slice's scan.
    """

    images: Tensor
    brains: Tensor
    gains: Tensor
    classes: Tensor
    class_means: Tensor
