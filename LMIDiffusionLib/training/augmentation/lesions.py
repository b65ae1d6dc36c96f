"""Lesions and cavities of the brain, and the dark lines of vessels and pia in its sulci."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..anatomy import CLASSES, MOST_CLASSES
from ..slice_batch import SliceBatch
from .class_contrasts import mixed
from .random_streams import Draws
from .scanner_artifacts import smooth_field

_WHITE = ("white matter", "bright in the brain")
_TISSUE = (
    *_WHITE,
    "cortex",
    "hippocampus and amygdala",
    "caudate",
    "putamen",
    "thalamus",
    "cerebellar gray matter",
    "cerebellar white matter",
    "gray in the brain",
    "lesion",
)
_FOLDS = (
    "other fluid",
    "cortex",
    "cerebellar gray matter",
    "dim near the brain",
    "bone near the brain",
    "dark in the brain",
    "gray in the brain",
)
_SMALL, _LARGE = 14, 6  # places across a slice between which a field of lesions is smooth
_LINE = 2.0  # millimeters, half of the widest line
_FAINT, _CLEAR = 0.05, 0.20  # by how much a line is darker than what it runs between, in the target


@dataclass(frozen=True)
class Lesions:
    """Random lesions, cavities and dark lines, and their frequencies.

    Attributes:
        lesions: share of slices with lesions, which the target shows faintly or not at all; half of the white matter
            alone, half of them large and reaching the cortex.
        cavities: share of slices with places of fluid where there was tissue.
        lines: share of copies in which vessels and pia darken the sulci.
    """

    lesions: float = 0.0
    cavities: float = 0.0
    lines: float = 0.0

    def with_cavities(self, batch: SliceBatch, draws: Draws) -> SliceBatch:
        """Cut holes full of fluid into the brain of some slices; they look like ventricles in every contrast."""
        chance = draws.uniform(batch.images, 1, 1, 1)
        blobs = _blobs(batch.images, _LARGE, draws, rare=0.86)
        share = torch.where(chance < self.cavities, blobs * mixed(_mask(batch, _TISSUE)), 0)
        ventricles, dark = (batch.class_means[:, CLASSES.index(name)] for name in ("ventricles", "dark in the brain"))
        level = torch.where(ventricles > 0, ventricles, dark)
        fluid = level.view(-1, 1, 1, 1)
        images = torch.where(fluid > 0, torch.lerp(batch.images, fluid.expand_as(share), share), batch.images)
        name = CLASSES.index("ventricles")
        classes = torch.where((share > 0.5) & (fluid > 0), name, batch.classes)
        means = batch.class_means.clone()
        means[:, name] = level
        return batch._replace(images=images, classes=classes.to(batch.classes.dtype), class_means=means)

    def with_lesions(self, batch: SliceBatch, copies: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Draw lesions into some slices and copies (B, 1, H, W), of any intensity in the copy."""
        images = batch.images
        chance, level, darkening, kind = draws.uniform(images, 4, 1, 1).split(1, 1)
        small, large = (_blobs(images, points, draws, rare=0.85) for points in (_SMALL, _LARGE))
        white, tissue = (mixed(_mask(batch, names)) for names in (_WHITE, _TISSUE))
        share = torch.where(chance < self.lesions, torch.where(kind < 0.5, small * white, large * tissue), 0)
        return images * (1 - 0.3 * darkening * share), torch.lerp(copies, level.expand_as(copies), share)

    def with_lines(self, batch: SliceBatch, copies: Tensor, draws: Draws, *, spacing: float) -> Tensor:
        """Draw dark lines into some copies (B, 1, H, W) where the target has lines of fluid thinner than a sulcus.

        Args:
            batch: of the target slices.
            copies: in another contrast.
            draws: source of random numbers.
            spacing: side of the pixels in millimeters.
        """
        chance, strength = draws.uniform(copies, 2, 1, 1).split(1, 1)
        size = 2 * round(_LINE / spacing) + 1
        depth = _closed(batch.images, size) - batch.images
        lines = ((depth - _FAINT) / (_CLEAR - _FAINT)).clamp(0, 1) * _mask(batch, _FOLDS)
        # Vessels come and go along a sulcus.
        share = torch.where(chance < self.lines, strength * lines * smooth_field(copies, _SMALL, draws), 0)
        return copies * (1 - share.clamp(0, 1))


def _mask(batch: SliceBatch, names: tuple[str, ...]) -> Tensor:
    table = batch.images.new_zeros(MOST_CLASSES)
    table[[CLASSES.index(name) for name in names]] = 1
    return table[batch.classes.long()]


def _blobs(images: Tensor, points: int, draws: Draws, *, rare: float) -> Tensor:
    return ((smooth_field(images, points, draws) - rare) / 0.1).clamp(0, 1)


def _closed(images: Tensor, size: int) -> Tensor:
    """Fill dark parts narrower than `size` pixels (gray-scale closing)."""
    grown = functional.max_pool2d(images, size, stride=1, padding=size // 2)
    return -functional.max_pool2d(-grown, size, stride=1, padding=size // 2)
