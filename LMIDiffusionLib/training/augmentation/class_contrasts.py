"""Copies of training slices in contrasts that are drawn for anatomical classes.

A tone curve gives one value to all tissues that are alike in the target. Other modalities tell them apart: fluid from
bone, cortex from deep gray matter, fat from white matter. Here every class gets a value of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..anatomy import AIR, CLASSES, MOST_CLASSES
from .random_streams import Draws
from .scanner_artifacts import smooth_field
from .spin_echo import spin_echo_levels

_TISSUES = ("fluid", "gray", "white", "muscle", "fat", "bone")
# A structured contrast puts each class between two tissues, at a share drawn from a range.
_STRUCTURE: dict[str, tuple[str, str, float, float]] = {
    "ventricles": ("fluid", "fluid", 0.0, 0.0),
    "other fluid": ("fluid", "fluid", 0.0, 0.0),
    "cortex": ("gray", "gray", 0.0, 0.0),
    "hippocampus and amygdala": ("gray", "white", -0.1, 0.2),
    "white matter": ("white", "white", 0.0, 0.0),
    "caudate": ("gray", "white", -0.1, 0.9),
    "putamen": ("gray", "white", -0.1, 0.9),
    "pallidum": ("gray", "white", -0.5, 1.3),
    "thalamus": ("gray", "white", 0.0, 1.0),
    "cerebellar gray matter": ("gray", "white", -0.1, 0.4),
    "cerebellar white matter": ("gray", "white", 0.7, 1.1),
    "brainstem": ("gray", "white", 0.5, 1.1),
    "bone": ("bone", "bone", 0.0, 0.0),
    "dim": ("bone", "muscle", 0.2, 1.0),
    "muscle": ("muscle", "muscle", 0.0, 0.0),
    "bright": ("muscle", "fat", 0.0, 1.0),
    "fat": ("fat", "fat", 0.0, 0.0),
}
_LIKE = {
    "choroid plexus": "cortex",
    "lesion": "white matter",
    "artery": "bone",
    "eye": "ventricles",
    "soft tissue": "muscle",
    "eye muscle": "muscle",
    "mucosa": "dim",
    "scalp": "fat",
    "spinal cord": "brainstem",
    "venous sinus": "dim",
    "skull": "bone",
    "marrow": "bright",
    "optic nerve": "white matter",
}
"""By class of label maps, the tissue that is most like it."""
_LABELED = [CLASSES.index(name) for name in _LIKE]
_LABELED_JITTER, _UNLIKE = 0.1, 0.35
_FIRST_DRAWN = 1
# Share of the two darkest classes near the brain that is fluid.
_FLUID_NEAR = {"bone near the brain": 0.3, "dim near the brain": 0.75}
_JITTER = 0.03
_NEAR_POINTS = 6


@dataclass(frozen=True)
class ClassContrasts:
    """Random intensities of anatomical classes, and the shares of special cases among them.

    Attributes:
        independent: share of copies in which every class gets any intensity.
        spin_echoes: share of the others that have the intensities of a spin echo; what is left has but the structure of
            MR contrasts, with one intensity each for fluid, gray and white matter, muscle, fat and bone.
        slope: largest factor, up or down, of the target's texture within a class.
    """

    independent: float = 0.15
    spin_echoes: float = 0.7
    slope: float = 1.2

    def __call__(self, images: Tensor, classes: Tensor, means: Tensor, draws: Draws) -> Tensor:
        """Return copies (B, 1, H, W) in [0, 1].

        Args:
            images: target slices (B, 1, H, W) in [0, 1].
            classes: their anatomical classes (B, 1, H, W), integers.
            means: mean target intensity (B, MOST_CLASSES) of each class.
            draws: source of random numbers.
        """
        levels, slopes = self._levels(images, draws), self._slopes(images, draws)
        places = self._with_fluid_near_the_brain(images, classes.long(), draws).flatten(1)
        # Each class maps intensities by a line of its own. Lines are mixed at the edges as the tissues are.
        offset = mixed((levels - slopes * means).gather(1, places).view_as(images))
        slope = mixed(slopes.gather(1, places).view_as(images))
        return (offset + slope * images).clamp(0, 1)

    def _levels(self, images: Tensor, draws: Draws) -> Tensor:
        """Draw the mean intensity (B, MOST_CLASSES) of each class in the copy."""
        levels = draws.uniform(images, MOST_CLASSES)
        structured = self._structured(images, draws) + _JITTER * draws.normal(images, len(_STRUCTURE))
        echoes = draws.uniform(images, 1) < self.spin_echoes
        structured = torch.where(echoes, spin_echo_levels(images, draws), structured)
        independent = draws.uniform(images, 1) < self.independent
        known = slice(_FIRST_DRAWN, _FIRST_DRAWN + len(_STRUCTURE))
        levels[:, known] = torch.where(independent, levels[:, known], structured.clamp(0, 1))
        levels[:, _LABELED] = self._labeled(levels, draws)
        levels[:, AIR] *= 0.03
        # Its class holds the air in and about the head too.
        for name in ("bone", "skull"):
            levels[:, CLASSES.index(name)] **= 3
        return levels

    def _labeled(self, levels: Tensor, draws: Draws) -> Tensor:
        """Draw intensities of classes that only label maps have: near that of a similar tissue, or any."""
        likes = levels[:, [CLASSES.index(name) for name in _LIKE.values()]]
        near = (likes + _LABELED_JITTER * draws.normal(levels, len(_LIKE))).clamp(0, 1)
        return torch.where(draws.uniform(levels, len(_LIKE)) < _UNLIKE, levels[:, _LABELED], near)

    def _structured(self, images: Tensor, draws: Draws) -> Tensor:
        tissues = _tissue_levels(images, draws)
        rows = [_STRUCTURE[name] for name in CLASSES[_FIRST_DRAWN : _FIRST_DRAWN + len(_STRUCTURE)]]
        first, second = (tissues[:, [_TISSUES.index(row[which]) for row in rows]] for which in (0, 1))
        low, high = (images.new_tensor([row[which] for row in rows]) for which in (2, 3))
        share = low + (high - low) * draws.uniform(images, len(rows))
        return first + share * (second - first)

    def _slopes(self, images: Tensor, draws: Draws) -> Tensor:
        slopes = self.slope * (2 * draws.uniform(images, MOST_CLASSES) - 1)
        slopes[:, AIR] = 0.3 * slopes[:, AIR].abs()
        return slopes

    def _with_fluid_near_the_brain(self, images: Tensor, classes: Tensor, draws: Draws) -> Tensor:
        """Relabel dark voxels near the brain as fluid or bone, by a smooth random partition."""
        field = smooth_field(images, _NEAR_POINTS, draws)
        fluid, bone = CLASSES.index("other fluid"), CLASSES.index("bone")
        for name, share in _FLUID_NEAR.items():
            near = classes == CLASSES.index(name)
            classes = torch.where(near, torch.where(field < share, fluid, bone), classes)
        return classes


def _tissue_levels(images: Tensor, draws: Draws) -> Tensor:
    """Draw intensities (B, 6) of `_TISSUES`; fluid near gray matter (PDw) and dark fluid (FLAIR) are more frequent."""
    kind, fluid, near, gray, difference, muscle, fat, bone = draws.uniform(images, 8).unbind(1)
    gray = 0.15 + 0.8 * gray
    # Gray and white matter differ somewhat, either way, in any contrast; little in many, as in PDw and FLAIR.
    signed = 2 * difference - 1
    white = gray + 0.4 * signed * signed.abs() + 0.03 * signed.sign()
    fluid = torch.where(kind < 0.35, gray + 0.3 * (near - 0.5), torch.where(kind < 0.6, 0.2 * fluid, fluid))
    return torch.stack([fluid, gray, white, 0.05 + 0.75 * muscle, 0.1 + 0.9 * fat, 0.15 * bone], 1).clamp(0, 1)


def mixed(values: Tensor) -> Tensor:
    """Mix values (B, 1, H, W) that step at the edges of classes, as partial volumes do."""
    kernel = values.new_tensor([[1.0, 4.0, 1.0], [4.0, 16.0, 4.0], [1.0, 4.0, 1.0]]) / 36
    return functional.conv2d(functional.pad(values, (1, 1, 1, 1), mode="replicate"), kernel[None, None])
