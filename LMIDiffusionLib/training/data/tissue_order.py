"""Order of the tissues' intensities in a modality."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...segmentation.classes import TISSUES_FROM_DARK
from ..anatomy import CLASSES
from ..slice_batch import SliceBatch

_CLASSES_OF_TISSUES = {
    "CSF": ("ventricles", "other fluid"),
    "gray matter": ("cortex",),
    "white matter": ("white matter",),
}


def tissues_from_dark(slices: SliceBatch, *, modality: str) -> Sequence[str] | None:
    """Return the tissues from dark to bright, by labels or else by the modality; None if neither tells.

    Returns:
        Names out of `segmentation.TISSUES`; None where it cannot be told.
    """
    masks = {
        tissue: torch.isin(slices.classes, torch.tensor([CLASSES.index(name) for name in names]))
        for tissue, names in _CLASSES_OF_TISSUES.items()
    }
    if all(mask.any() for mask in masks.values()):
        return sorted(masks, key=lambda tissue: float(slices.images[masks[tissue]].median()))
    return TISSUES_FROM_DARK.get(modality)
