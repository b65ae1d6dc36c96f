"""Target slices drawn from label maps: one T1w level per class, a texture, and differences between scanners."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..anatomy import CLASSES, MOST_CLASSES
from ..slice_batch import SliceBatch
from .random_streams import Draws
from .scanner_artifacts import gaussian_blur, smooth_field

BRAIN_LEVELS = {
    "ventricles": 0.12,
    "other fluid": 0.12,
    "cortex": 0.42,
    "hippocampus and amygdala": 0.432,
    "white matter": 0.62,
    "caudate": 0.50,
    "putamen": 0.515,
    "pallidum": 0.58,
    "thalamus": 0.55,
    "cerebellar gray matter": 0.465,
    "cerebellar white matter": 0.63,
    "brainstem": 0.59,
    "choroid plexus": 0.30,
    "lesion": 0.46,
    "optic nerve": 0.56,
    "spinal cord": 0.52,
}
"""T1w levels inside the brain, as labeled scans have them once their tissues are at the recipe's levels."""
OUTER_LEVELS = {
    "artery": 0.06,
    "eye": 0.06,
    "soft tissue": 0.56,
    "eye muscle": 0.56,
    "mucosa": 0.36,
    "scalp": 0.85,
    "venous sinus": 0.14,
    "skull": 0.07,
    "marrow": 0.55,
}
"""The same outside it, about which scanners vary."""
_BRAIN_SPREAD, _OUTER_SPREAD = 0.015, 0.10
_BRAIN_TEXTURE, _OUTER_TEXTURE = 0.06, 0.18
_TEXTURE_SPACING = 4.0  # millimeters between the places of coarse texture
_SHARPEST, _BLUREST = 0.35, 0.75  # standard deviation of the imaging's blur, in voxels


@dataclass(frozen=True)
class LabelTargets:
    """Draws target-modality slices of label maps; T1w is the one modality whose levels are known."""

    def __call__(self, batch: SliceBatch, draws: Draws, *, spacing: float) -> SliceBatch:
        """Draw the images of a batch from its classes; the drawn levels become the class means.

        Args:
            batch: slices of label maps; their images are not looked at.
            draws: source of random numbers.
            spacing: side of the pixels in millimeters.
        """
        like = batch.images
        levels = self._levels(like, draws)
        places = batch.classes.long().flatten(1)
        flat = levels.gather(1, places).view_as(like)
        amount = self._texture_sizes(like, draws).gather(1, places).view_as(like)
        images = flat * (1 + amount * self._texture(like, draws, spacing))
        sigma = _SHARPEST + (_BLUREST - _SHARPEST) * draws.uniform(like, 1).flatten()
        return batch._replace(images=gaussian_blur(images, sigma, sigma).clamp(0, 1), class_means=levels)

    def _levels(self, like: Tensor, draws: Draws) -> Tensor:
        levels = like.new_zeros(len(like), MOST_CLASSES)
        for known, spread in ((BRAIN_LEVELS, _BRAIN_SPREAD), (OUTER_LEVELS, _OUTER_SPREAD)):
            indices = [CLASSES.index(name) for name in known]
            drawn = like.new_tensor([*known.values()]) * (spread * draws.normal(like, len(known))).exp()
            levels[:, indices] = drawn.clamp(0, 0.97)
        return levels

    def _texture_sizes(self, like: Tensor, draws: Draws) -> Tensor:
        """Draw the texture's amplitude for each class (B, MOST_CLASSES)."""
        sizes = like.new_full((MOST_CLASSES,), _BRAIN_TEXTURE)
        sizes[[CLASSES.index(name) for name in OUTER_LEVELS]] = _OUTER_TEXTURE
        return sizes * (0.3 + 0.7 * draws.uniform(like, MOST_CLASSES))

    def _texture(self, like: Tensor, draws: Draws, spacing: float) -> Tensor:
        """Draw a texture of about unit variance, mostly coarse and partly fine."""
        fine = draws.normal(like, *like.shape[1:])
        points = max(4, round(max(like.shape[-2:]) * spacing / _TEXTURE_SPACING))
        coarse = 2 * smooth_field(like, points, draws) - 1
        return 0.4 * fine + 1.6 * coarse
