"""Anatomical classes of the voxels of a training scan: tissues that have one intensity each in a contrast.

Inside the brain they come from a label map drawn on the scan itself, elsewhere from intensity and place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from ..errors import UserError
from ..images.normalization import head_mask, head_outlines
from ..segmentation.classes import fit_centers, nearest_center
from ..segmentation.dlmuse import DLMUSE_GROUPS
from .residual_bias import without_shading

AIR = 0
OUTER_CLASSES = ("bone", "dim", "muscle", "bright", "fat")
"""Classes outside the brain, by rising intensity; the names say what most of them are in a T1w scan."""
NEAR_CLASSES = ("bone near the brain", "dim near the brain")
"""The two darkest within 6 mm of the brain: there lies the fluid that no label names, and the bone."""
BRAIN_CLASSES = ("dark in the brain", "gray in the brain", "bright in the brain")
"""Classes of intensity of a brain without labels."""
LABELED_CLASSES = (
    "choroid plexus",
    "lesion",
    "artery",
    "eye",
    "soft tissue",
    "eye muscle",
    "mucosa",
    "scalp",
    "spinal cord",
    "venous sinus",
    "skull",
    "marrow",
    "optic nerve",
)
"""Classes of which label maps of whole heads alone know."""
CLASSES = ("air", *DLMUSE_GROUPS, *OUTER_CLASSES, *NEAR_CLASSES, *BRAIN_CLASSES, *LABELED_CLASSES)
"""Names of the classes 0, 1, ...; labels of other maps are further, nameless classes."""
MOST_CLASSES = 256

_GROUP_OF_LABEL = {label: CLASSES.index(name) for name, labels in DLMUSE_GROUPS.items() for label in labels}
_OUTER_EDGES = (0.14, 0.3, 0.48, 0.64)  # on the unit scale of intensity, whose head has the median 0.5
_NEAR = 6.0  # millimeters
_SMOOTHING = 1.3  # millimeters
_FLUIDS = tuple(CLASSES.index(name) for name in ("ventricles", "other fluid", "dark in the brain"))
_GRAYS = tuple(CLASSES.index(name) for name in ("cortex", "gray in the brain"))
_FOLDED = tuple(CLASSES.index(name) for name in ("cortex", "cerebellar gray matter"))
_WHITES = tuple(CLASSES.index(name) for name in ("white matter", "bright in the brain"))
# Classes that are equally bright without shading.
_UNIFORM = (*_WHITES, CLASSES.index("cerebellar white matter"))
_OUTER = tuple(CLASSES.index(name) for name in OUTER_CLASSES)
_SCALP, _SCALP_SEAM = (2.0, 6.0), 4.0  # depth under the skin, and how fast the scalp's gain ends, in millimeters
_LEAST_BRAIN = 100  # voxels, to be told apart by intensity


def anatomical_classes(
    slices: NDArray[np.float32],
    *,
    brain: NDArray[np.bool_] | None,
    labels: NDArray[np.integer] | None,
    spacing: tuple[float, float, float],
) -> NDArray[np.uint8]:
    """Return the anatomical class of every voxel of a scan.

    Args:
        slices: the scan (S, H, W) on the unit scale of intensity.
        brain: mask of the brain, where one is known.
        labels: map of the brain, 0 outside; the groups of DLMUSE are known, in any other map each label is a class.
        spacing: of the slices, their rows and columns, in millimeters.

    Raises:
        UserError: there are too many labels.
    """
    # Noise must not scatter classes over a tissue.
    smooth = ndimage.gaussian_filter(slices, [_SMOOTHING / length for length in spacing])
    classes = CLASSES.index("bone") + np.digitize(smooth, _OUTER_EDGES).astype(np.uint8)
    inside = brain if labels is None else labels > 0
    if inside is not None:
        near = ndimage.distance_transform_edt(~inside, sampling=spacing) <= _NEAR
        for outer, name in zip(OUTER_CLASSES, NEAR_CLASSES, strict=False):
            classes[near & (classes == CLASSES.index(outer))] = CLASSES.index(name)
    classes[~head_outlines(slices, slices)] = AIR
    if labels is not None and labels.any():
        classes[inside] = _classes_of_labels(labels[inside])
        return _with_partial_volumes(slices, classes)
    if inside is not None and inside.sum() >= _LEAST_BRAIN:
        centers = fit_centers(slices[inside][::7], count=len(BRAIN_CLASSES))
        classes[inside] = CLASSES.index(BRAIN_CLASSES[0]) + nearest_center(slices[inside], centers)
    return classes


def _classes_of_labels(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    found, positions = np.unique(labels, return_inverse=True)
    if set(found.tolist()) <= _GROUP_OF_LABEL.keys():
        return np.array([_GROUP_OF_LABEL[label] for label in found.tolist()], np.uint8)[positions]
    if len(CLASSES) + len(found) > MOST_CLASSES:
        raise UserError(
            f"a label map holds {len(found)} labels; merge some, {MOST_CLASSES - len(CLASSES)} are possible"
        )
    return (len(CLASSES) + positions).astype(np.uint8)


def _with_partial_volumes(slices: NDArray[np.float32], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Relabel cortex as dark as fluid or as bright as white matter: folds are finer than labels."""
    try:
        fluid, _, white = tissue_medians(slices, classes)
    except UserError:
        return classes
    refined = classes.copy()
    for folded in _FOLDED:
        here = classes == folded
        if not here.any():
            continue
        gray = np.median(slices[here])
        refined[here & (slices < (fluid + gray) / 2)] = CLASSES.index("other fluid")
        refined[here & (slices > (gray + 2 * white) / 3)] = CLASSES.index("white matter")
    return refined


def tissue_medians(slices: NDArray[np.float32], classes: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Return the median intensities of fluid, cortex and white matter; by intensity without labels.

    Raises:
        UserError: they are not known, or do not rise in this order as they do in a T1w scan.
    """
    masks = [np.isin(classes, tissue) for tissue in (_FLUIDS, _GRAYS, _WHITES)]
    if not all(mask.any() for mask in masks):
        raise UserError("fluid, cortex and white matter are not known")
    fluid, gray, white = (float(np.median(slices[mask])) for mask in masks)
    if not 0 < fluid < gray < white < 1:
        raise UserError("fluid, cortex and white matter do not brighten in this order")
    return fluid, gray, white


def with_tissue_levels(
    slices: NDArray[np.float32],
    classes: NDArray[np.uint8],
    levels: tuple[float, float, float, float],
    *,
    spacing: tuple[float, float],
) -> NDArray[np.float32]:
    """Give the tissues of a scan fixed intensities, by a monotone curve inside the brain and a gain under the skin.

    Scanners differ in the contrast of their T1w scans, in their shading and in how bright their coils make the scalp; a
    network trained on one scanner's would draw them. What shading white matter shows is taken out first.

    Args:
        slices: (S, H, W) on the unit scale of intensity.
        classes: as `anatomical_classes` finds them.
        levels: of fluid, cortex, white matter and scalp, in (0, 1), the first three rising.
        spacing: of rows and columns, in millimeters.

    Raises:
        UserError: the tissues of the brain are not known.
    """
    slices = without_shading(slices, np.isin(classes, _UNIFORM))
    medians = tissue_medians(slices, classes)
    inner = PchipInterpolator((0, *medians, 1), (0, *levels[:3], 1))(slices)
    outer = _with_scalp_level(slices, classes, levels[3], spacing=spacing)
    brain = (classes != AIR) & ~np.isin(classes, _OUTER)
    # Both differ most where neither tissue borders on the other: a narrow seam is enough.
    share = ndimage.gaussian_filter(brain.astype(np.float32), (0, 1, 1))
    return (share * inner + (1 - share) * outer).astype(np.float32)


def _with_scalp_level(
    slices: NDArray[np.float32], classes: NDArray[np.uint8], level: float, *, spacing: tuple[float, float]
) -> NDArray[np.float32]:
    """Bring the mean of the tissues just under the skin to a level, and leave deeper ones as they are."""
    surfaces = [ndimage.binary_fill_holes(ndimage.binary_opening(head)) for head in head_mask(slices)]
    depth = np.stack([ndimage.distance_transform_edt(surface, sampling=spacing) for surface in surfaces])
    scalp = (depth > _SCALP[0]) & (depth <= _SCALP[1]) & np.isin(classes, _OUTER[1:])
    if not scalp.any():
        return slices
    share = np.clip((_SCALP[1] - depth) / _SCALP_SEAM + 1, 0, 1) * (depth > 0)
    gain = 1 + share * (level / float(slices[scalp].mean()) - 1)
    return np.minimum(slices * gain, 1).astype(np.float32)


def class_means(slices: NDArray[np.float32], classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean intensity (MOST_CLASSES,) of every class, 0 for an absent one."""
    counts = np.bincount(classes.ravel(), minlength=MOST_CLASSES)
    sums = np.bincount(classes.ravel(), weights=slices.ravel(), minlength=MOST_CLASSES)
    return (sums / np.maximum(counts, 1)).astype(np.float32)
