"""Conversion between slices and the square images of the networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...translation.sliced_volume import SlicedVolume

_FIELD = 224.0  # millimeters: the length of large heads


def field_shape(pixel_size: float) -> tuple[int, int]:
    """Return rows and columns of the field of view of the networks' images, for pixels of that size in millimeters."""
    across = round(_FIELD / pixel_size)
    return across, across


def to_images(fields: Tensor, size: int) -> Tensor:
    """Resample fields (B, 1, N, N) in [0, 1] to images (B, 1, size, size) in [-1, 1]."""
    return 2 * functional.interpolate(fields, size=(size, size), mode="bilinear", antialias=True) - 1


def to_fields(images: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resample images back to fields of a shape, without the detail that `to_images` has lost."""
    return ((functional.interpolate(images, size=shape, mode="bicubic", antialias=True) + 1) / 2).clamp(0, 1)


@dataclass(frozen=True)
class HeadWindow:
    """The field of view centered on a head, as in training slices.

    Attributes:
        before: rows and columns of the slices before the field; negative where the field begins outside them.
        after: rows and columns after the field.
    """

    before: tuple[int, int]
    after: tuple[int, int]

    @classmethod
    def from_source(cls, source: SlicedVolume) -> HeadWindow:
        """Center the window on a source's head."""
        shape = field_shape(source.pixel_size)
        outline = source.outlines(source.head_slices()).any(0)[0]
        ends = [torch.nonzero(outline.any(1 - axis)).flatten()[[0, -1]].tolist() for axis in (0, 1)]
        before = [(first + last + 1 - shape[axis]) // 2 for axis, (first, last) in enumerate(ends)]
        after = [outline.shape[axis] - shape[axis] - before[axis] for axis in (0, 1)]
        return cls((before[0], before[1]), (after[0], after[1]))

    def cut(self, slices: Tensor) -> Tensor:
        """Cut fields (B, 1, N, N) from slices (B, 1, H, W), zero outside the slices."""
        (top, left), (bottom, right) = self.before, self.after
        return functional.pad(slices, (-left, -right, -top, -bottom))

    def put_back(self, fields: Tensor) -> Tensor:
        """Put fields back into slices, zero around them."""
        (top, left), (bottom, right) = self.before, self.after
        return functional.pad(fields, (left, right, top, bottom))
