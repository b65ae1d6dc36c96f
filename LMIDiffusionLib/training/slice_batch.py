"""Batch of training slices, and the pixels that it is cut on and brought to."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..model.score_network import WIDEST_PIXELS


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


class Pixels(NamedTuple):
    """Pixels on which a batch is changed, and those on which it is returned.

    Attributes:
        spacing: side of the pixels that the slices are given on, in millimeters.
        size: side of those that they are returned on.
        shape: height and width that they are returned with; None for those that they are given with.
        parts: number of consecutive given slices that make a thick one that is returned.
    """

    spacing: float = WIDEST_PIXELS
    size: float = WIDEST_PIXELS
    shape: tuple[int, int] | None = None
    parts: int = 1
