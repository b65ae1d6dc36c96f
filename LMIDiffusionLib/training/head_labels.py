"""Label maps of whole heads: classes and brain from FreeSurfer's numbers inside the brain and SynthSeg's outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import UserError
from .anatomy import AIR, CLASSES

CLASSES_OF_LABELS: dict[str, tuple[int, ...]] = {
    "air": (0,),
    "white matter": (2, 41),
    "cortex": (3, 42),
    "ventricles": (4, 5, 14, 15, 43, 44, 72),
    "cerebellar white matter": (7, 46),
    "cerebellar gray matter": (8, 47),
    "thalamus": (10, 49),
    "caudate": (11, 50, 26, 58),
    "putamen": (12, 51),
    "pallidum": (13, 52),
    "brainstem": (16, 28, 60),
    "hippocampus and amygdala": (17, 18, 53, 54),
    "other fluid": (24, 30, 62),
    "lesion": (25, 57, 77),
    "choroid plexus": (31, 63, 136, 137, 163, 164),
    "artery": (502,),
    "eye": (506,),
    "soft tissue": (507,),
    "eye muscle": (508,),
    "mucosa": (509,),
    "scalp": (511,),
    "spinal cord": (512,),
    "venous sinus": (514,),
    "skull": (515,),
    "marrow": (516,),
    "optic nerve": (85, 530),
}
_BRAIN = (
    "white matter",
    "cortex",
    "ventricles",
    "cerebellar white matter",
    "cerebellar gray matter",
    "thalamus",
    "caudate",
    "putamen",
    "pallidum",
    "brainstem",
    "hippocampus and amygdala",
    "lesion",
    "choroid plexus",
)
_SULCI = 6.0  # millimeters, the width of what is closed between gyri


def classes_of_labels(labels: NDArray[np.int64], path: Path) -> NDArray[np.uint8]:
    """Return the anatomical class of every voxel.

    Raises:
        UserError: the map of that path holds an unknown label, or no brain.
    """
    table = {label: CLASSES.index(name) for name, numbers in CLASSES_OF_LABELS.items() for label in numbers}
    found, positions = np.unique(labels, return_inverse=True)
    unknown = [label for label in found.tolist() if label not in table]
    if unknown:
        raise UserError(
            f"{path} holds the labels {', '.join(map(str, unknown[:5]))}, which are none of FreeSurfer's and"
            " SynthSeg's of a head; take them out."
        )
    classes = np.array([table[label] for label in found.tolist()], np.uint8)[positions].reshape(labels.shape)
    if not (classes == CLASSES.index("cortex")).any():
        raise UserError(f"{path} has no cortex; give label maps of heads with FreeSurfer's numbers.")
    return classes


def brain_of_classes(classes: NDArray[np.uint8], *, spacing: float) -> NDArray[np.bool_]:
    """Return the mask of the brain and the fluid of its sulci."""
    brain = np.isin(classes, [CLASSES.index(name) for name in _BRAIN])
    # Closing by distances: balls of millimeters, on any grid.
    reach = _SULCI / 2
    grown = ndimage.distance_transform_edt(~brain, sampling=[spacing] * 3) <= reach
    closed = ndimage.distance_transform_edt(grown, sampling=[spacing] * 3) > reach
    return np.asarray((closed | brain) & (classes != AIR))
