"""Random changes of training slices, on the device, from one stream of draws.

A target slice is moved, and a copy of it in another contrast is moved with it; the maps of the copy condition the
network, so that the maps of any contrast look familiar to it. Both come from target-modality scans alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .class_contrasts import ClassContrasts
from .deformation import Deformation
from .intensity_curves import ToneCurves
from .random_streams import SliceDraws
from .scanner_artifacts import Scanner
from .spatial import Geometry


class SliceBatch(NamedTuple):
    """Training slices and what is known of them.

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


@dataclass(frozen=True)
class Augmentation:
    """How training slices and the contrast of their copies are changed.

    Attributes:
        by_class: share of copies whose contrast is drawn by anatomical class.
        mixed: share of copies that are a random mixture of such a one and one by tone curve, as all others are.
        geometry: moves both alike.
        deformation: bends both alike.
        tone_curves: contrasts of the whole slice.
        class_contrasts: contrasts by class.
        scanner: spoils the copy.
    """

    by_class: float = 0.0
    mixed: float = 0.0
    geometry: Geometry = Geometry()
    deformation: Deformation = Deformation()
    tone_curves: ToneCurves = ToneCurves()
    class_contrasts: ClassContrasts = ClassContrasts()
    scanner: Scanner = Scanner()

    def __call__(self, batch: SliceBatch, draws: SliceDraws) -> tuple[Tensor, Tensor]:
        """Moved target slices, and copies of them in another contrast, both (B, 1, H, W) in [0, 1].

        A slice reduced to its brain is multiplied by its gain, because the intensity scale of a brain-only volume is
        that of its brain.
        """
        moved, kept = self.geometry.move(
            torch.cat(self._recoloured(batch, draws), 1),
            batch.brains,
            draws,
            deform=lambda grid: self.deformation(grid, batch.classes, draws),
        )
        images, copies = (moved * kept).split(1, 1)
        gains = torch.where(kept.all(3, keepdim=True).all(2, keepdim=True), 1.0, batch.gains)
        return (gains * images).clamp(max=1), self.scanner(copies, draws)

    def copies(self, batch: SliceBatch, draws: SliceDraws) -> Tensor:
        """Copies (B, 1, H, W) in another contrast of slices that stay where they are."""
        return self.scanner(self.contrasts(batch, draws), draws)

    def contrasts(self, batch: SliceBatch, draws: SliceDraws) -> Tensor:
        """As `copies`, but not spoilt by the scanner."""
        toned = self.tone_curves(batch.images, draws)
        if self.by_class + self.mixed == 0:
            return toned
        by_class = self.class_contrasts(batch.images, batch.classes, batch.class_means, draws)
        kind, share = draws.uniform(batch.images, 2, 1, 1).split(1, 1)
        share = torch.where(kind < self.by_class, 1.0, torch.where(kind < self.by_class + self.mixed, share, 0.0))
        return torch.lerp(toned, by_class, share)

    def _recoloured(self, batch: SliceBatch, draws: SliceDraws) -> tuple[Tensor, Tensor]:
        copies = self.contrasts(batch, draws)
        if self.by_class + self.mixed == 0:
            return batch.images, copies
        return self.class_contrasts.add_lesions(batch.images, copies, batch.classes, draws)


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
        scanner=Scanner(gain=0.8, bias_field=0.4, noise=0.03, blur=1.1, thickness=1.2),
    ),
}
"""How far the copies' contrast is changed, by name; `plain` copies are the target slices themselves."""
