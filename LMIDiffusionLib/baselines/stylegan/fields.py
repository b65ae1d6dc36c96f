"""From slices to the square images of the networks, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...translation.sliced_volume import SlicedSource

_FIELD = 224.0  # millimetres: as long as heads are


def field_shape(pixel_size: float) -> tuple[int, int]:
    """Pixels of the field that the networks' images show, of that size in millimetres."""
    across = round(_FIELD / pixel_size)
    return across, across


def to_images(fields: Tensor, size: int) -> Tensor:
    """Fields (B, 1, N, N) in [0, 1] as images (B, 1, size, size) in [-1, 1]."""
    return 2 * functional.interpolate(fields, size=(size, size), mode="bilinear", antialias=True) - 1


def to_fields(images: Tensor, shape: tuple[int, int]) -> Tensor:
    """Undo `to_images` for fields of a shape, but for the detail that was lost."""
    return ((functional.interpolate(images, size=shape, mode="bicubic", antialias=True) + 1) / 2).clamp(0, 1)


@dataclass(frozen=True)
class HeadWindow:
    """The field about the middle of a head, as training slices have theirs.

    Attributes:
        before: rows and columns of the slices that lie before it; negative where it begins outside them.
        after: as many behind it.
    """

    before: tuple[int, int]
    after: tuple[int, int]

    @classmethod
    def about(cls, source: SlicedSource) -> HeadWindow:
        """The window about a source's head."""
        shape = field_shape(source.pixel_size)
        outline = source.outlines(source.head_slices()).any(0)[0]
        ends = [torch.nonzero(outline.any(1 - axis)).flatten()[[0, -1]].tolist() for axis in (0, 1)]
        before = [(first + last + 1 - shape[axis]) // 2 for axis, (first, last) in enumerate(ends)]
        after = [outline.shape[axis] - shape[axis] - before[axis] for axis in (0, 1)]
        return cls((before[0], before[1]), (after[0], after[1]))

    def cut(self, slices: Tensor) -> Tensor:
        """Fields (B, 1, N, N) of slices (B, 1, H, W), zero where they end."""
        (top, left), (bottom, right) = self.before, self.after
        return functional.pad(slices, (-left, -right, -top, -bottom))

    def put_back(self, fields: Tensor) -> Tensor:
        """Slices of fields, zero around them."""
        (top, left), (bottom, right) = self.before, self.after
        return functional.pad(fields, (left, right, top, bottom))
