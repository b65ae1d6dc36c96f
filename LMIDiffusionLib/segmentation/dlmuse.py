"""Label tables of DLMUSE, the network that draws the regions of the MUSE atlas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .classes import TISSUES

DLMUSE_GROUPS: dict[str, tuple[int, ...]] = {
    "ventricles": (4, 11, 49, 50, 51, 52),
    "other fluid": (1, 46),
    "cortex": tuple(range(100, 208)),
    "hippocampus and amygdala": (31, 32, 47, 48),
    "white matter": (69, *range(81, 96)),
    "caudate": (23, 30, 36, 37),
    "putamen": (57, 58, 75, 76),
    "pallidum": (55, 56),
    "thalamus": (59, 60),
    "cerebellar gray matter": (38, 39, 71, 72, 73),
    "cerebellar white matter": (40, 41),
    "brainstem": (35, 61, 62),
}
"""Region indices by anatomical group."""

DLMUSE_LABELS = frozenset(label for labels in DLMUSE_GROUPS.values() for label in labels)
"""All region indices that belong to a group."""

_FLUIDS = ("ventricles", "other fluid")
_WHITES = ("white matter", "cerebellar white matter", "brainstem")
_CSF, _GRAY, _WHITE = range(1, 1 + len(TISSUES))


def tissues_from_dlmuse(labels: NDArray[np.number]) -> NDArray[np.uint8]:
    """Return 1 for CSF, 2 for gray matter, 3 for white matter and 0 elsewhere, for region indices of any shape.

    Every index above 0 that is neither fluid nor white matter is gray matter.
    """
    tissues = np.where(labels > 0, _GRAY, 0)
    tissues[np.isin(labels, _members(_FLUIDS))] = _CSF
    tissues[np.isin(labels, _members(_WHITES))] = _WHITE
    return tissues.astype(np.uint8)


def _members(groups: tuple[str, ...]) -> list[int]:
    return [label for group in groups for label in DLMUSE_GROUPS[group]]
