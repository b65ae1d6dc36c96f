"""Random changes of training slices, on the device, from one stream of draws.

A target slice is moved, and a copy of it in another contrast is moved with it; the maps of the copy condition the
network, so that the maps of any contrast look familiar to it. Both come from target-modality scans alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..slice_batch import Pixels, SliceBatch
from .class_contrasts import ClassContrasts
from .deformation import Deformation
from .intensity_curves import ToneCurves
from .lesions import Lesions
from .random_streams import Draws, SlabDraws, SliceDraws
from .scanner_artifacts import Scanner
from .spatial import Geometry


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training slices and of the contrast of their copies.

    Attributes:
        by_class: share of copies whose contrast is drawn by anatomical class.
        mixed: share of copies that are a random mixture of such a one and one by tone curve, as all others are.
        geometry: moves both alike.
        deformation: bends both alike.
        tone_curves: contrasts of the whole slice.
        class_contrasts: contrasts by class.
        lesions: makes brains ill.
        scanner: spoils the copy.
    """

    by_class: float = 0.0
    mixed: float = 0.0
    geometry: Geometry = Geometry()
    deformation: Deformation = Deformation()
    tone_curves: ToneCurves = ToneCurves()
    class_contrasts: ClassContrasts = ClassContrasts()
    lesions: Lesions = Lesions()
    scanner: Scanner = Scanner()

    def __call__(self, batch: SliceBatch, draws: SliceDraws, *, pixels: Pixels = Pixels()) -> tuple[Tensor, Tensor]:
        """Return moved target slices, and copies of them in another contrast, both (B, 1, H, W) in [0, 1].

        Contrasts are drawn on the pixels that the slices are given on: where those are finer, several tissues share a
        pixel of the result. A slice reduced to its brain is multiplied by its gain, because the intensity scale of a
        brain-only volume is that of its brain.
        """
        part_draws = SlabDraws(draws, pixels.parts)
        batch = self.lesions.with_cavities(batch, part_draws)
        both = torch.cat(self._recolored(batch, part_draws, pixels), 1)
        both, brains, classes, gains = _thickened(batch, both, pixels.parts)
        both, brains, classes = _resized(both, brains, classes, pixels.shape)
        images, copies = self._moved(both, (brains, classes, gains), draws, pixel_size=pixels.size)
        return images, self.scanner(copies, draws, pixel_size=pixels.size)

    def with_sources(
        self, batch: SliceBatch, sources: Tensor, draws: SliceDraws, *, pixel_size: float
    ) -> tuple[Tensor, Tensor]:
        """Return moved target slices, and real sources (B, 1, H, W) moved alike, whose contrast stays as it is."""
        both = torch.cat([batch.images, sources], 1)
        return self._moved(both, (batch.brains, batch.classes, batch.gains), draws, pixel_size=pixel_size)

    def _moved(
        self, both: Tensor, known: tuple[Tensor, Tensor, Tensor], draws: SliceDraws, *, pixel_size: float
    ) -> tuple[Tensor, Tensor]:
        """Move slices and what is translated to them (B, 2, H, W) alike; brains, classes and gains are known."""
        brains, classes, gains = known
        moved, kept = self.geometry.move(
            both,
            brains,
            draws,
            deform=lambda grid: self.deformation(grid, classes, draws, pixel_size=pixel_size),
        )
        images, copies = (moved * kept).split(1, 1)
        gains = torch.where(kept.all(3, keepdim=True).all(2, keepdim=True), 1.0, gains)
        return (gains * images).clamp(max=1), copies

    def contrasts(self, batch: SliceBatch, draws: Draws) -> Tensor:
        """Return copies (B, 1, H, W) of unmoved slices in another contrast, without artifacts of a scanner."""
        toned = self.tone_curves(batch.images, draws)
        if self.by_class + self.mixed == 0:
            return toned
        by_class = self.class_contrasts(batch.images, batch.classes, batch.class_means, draws)
        kind, share = draws.uniform(batch.images, 2, 1, 1).split(1, 1)
        share = torch.where(kind < self.by_class, 1.0, torch.where(kind < self.by_class + self.mixed, share, 0.0))
        return torch.lerp(toned, by_class, share)

    def _recolored(self, batch: SliceBatch, draws: Draws, pixels: Pixels) -> tuple[Tensor, Tensor]:
        copies = self.contrasts(batch, draws)
        if self.by_class + self.mixed == 0:
            return batch.images, copies
        images, copies = self.lesions.with_lesions(batch, copies, draws)
        return images, self.lesions.with_lines(batch, copies, draws, spacing=pixels.spacing)


def _thickened(batch: SliceBatch, both: Tensor, parts: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Average groups of thin slices to thick ones: slices, copies, brain masks, classes and gains."""
    if parts == 1:
        return both, batch.brains, batch.classes, batch.gains
    both, brains = (each.unflatten(0, (-1, parts)).mean(1) for each in (both, batch.brains))
    middle = slice(parts // 2, None, parts)
    return both, (brains >= 0.5).float(), batch.classes[middle], batch.gains[middle]


def _resized(
    both: Tensor, brains: Tensor, classes: Tensor, shape: tuple[int, int] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Resample slices, copies, brain masks and classes to another height and width."""
    if shape is None or both.shape[-2:] == shape:
        return both, brains, classes
    both, brains = (
        functional.interpolate(each, size=shape, mode="bilinear", antialias=True, align_corners=False)
        for each in (both, brains)
    )
    resized = functional.interpolate(classes.float(), size=shape, mode="nearest-exact")
    return both, (brains >= 0.5).float(), resized.to(classes.dtype)


_STRONG_SCANNER = Scanner(bias_field=0.4, noise=0.03, blur=0.8, thickness=1.2)
_STRONG_CURVES = ToneCurves(flatness=0.8, unchanged=0.1)

AUGMENTATIONS = {
    "plain": Augmentation(tone_curves=ToneCurves(unchanged=1.0), scanner=Scanner(0.0, 0.0, 0.0, 0.0)),
    "moderate": Augmentation(),
    "strong": Augmentation(tone_curves=_STRONG_CURVES, scanner=_STRONG_SCANNER),
    "anatomical": Augmentation(
        by_class=0.5,
        mixed=0.25,
        deformation=Deformation(growth=0.5, atrophy=0.5, bending=0.5),
        tone_curves=_STRONG_CURVES,
        lesions=Lesions(lesions=0.25, cavities=0.12, lines=0.5),
        scanner=Scanner(gain=0.8, bias_field=0.4, noise=0.03, blur=1.1, thickness=1.2),
    ),
}
"""Augmentations by name, with different contrasts of the copies; `plain` copies are the target slices themselves."""
