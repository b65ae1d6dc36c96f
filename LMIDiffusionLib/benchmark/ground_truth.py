"""The true target of a pair as scores need it: read, scaled and cut once, whatever the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UserError
from ..images.masks import read_labels
from ..images.normalization import head_mask
from ..images.slice_grid import SliceGrid
from ..images.volume import Volume
from ..preparation.tissues import tissues_of_dlmuse
from ..segmentation.classes import TISSUES
from ..training.anatomy import DLMUSE_GROUPS
from ..translation.sliced_volume import SlicedSource
from .metrics import Region
from .pairs import Pair

_MINIMUM_FOREGROUND = 0.1
# Fewer pixels of a slice, or a smaller share of its head, are no region to score.
_LEAST_PIXELS, _LEAST_SHARE = 100, 0.1
_TISSUE_LABELS = (1, 2, 3)
_OTHER_TISSUE = 4
_DLMUSE_LABELS = {label for labels in DLMUSE_GROUPS.values() for label in labels}


@dataclass(frozen=True)
class Truth:
    """The scored slices of a true target, (N, H, W) each.

    Attributes:
        indices: which axial slices they are, from the feet up.
        images: in [0, 1].
        head: all but the air.
        brain: where it is known.
        outside: of the head but not of the brain, where that is known; empty where a slice shows little but brain.
        tissues: 1 CSF, 2 grey matter, 3 white matter, where there are labels of them.
        groups: parts of the brain by name, whose mean intensities are compared; none without labels.
    """

    indices: list[int]
    images: NDArray[np.float32]
    head: Region
    brain: Region | None
    outside: Region | None
    tissues: NDArray[np.uint8] | None
    groups: dict[str, Region]


def read_truth(pair: Pair, volume: Volume, target: SlicedSource, *, every: int) -> Truth:
    """What is known of a pair's target, which has been read, scaled and cut.

    Only axial slices with at least 10 % of head count, and of those every `every`-th.

    Raises:
        UserError: there is no such slice, or the map of the brain cannot be used.
    """
    grid, bright = target.grid, head_mask(target.scaled, otsu=target.otsu)
    shares = grid.slices(bright).mean((1, 2, 3))
    indices = [index for index in range(grid.slice_count) if shares[index] >= _MINIMUM_FOREGROUND][::every]
    if not indices:
        raise UserError(f"{pair.target} has no axial slice with a tenth of it head; give a volume of a head.")
    images, head = target.slices[indices, 0].numpy(), target.outlines(indices)[:, 0].numpy()
    if pair.brain is None:
        return Truth(indices, images, head, None, None, None, {})
    labels = read_labels(pair.brain, volume)
    brain = _majority(grid, indices, [_is_brain(labels)]) > 0
    tissues, groups = _anatomy(grid, indices, labels)
    outside = head & ~brain
    beyond = grid.slices(bright & ~_is_brain(labels))[indices].sum((1, 2, 3))
    few = (beyond < _LEAST_SHARE * grid.slices(bright)[indices].sum((1, 2, 3))).numpy()
    return Truth(indices, images, head, _large(brain), _large(outside & ~few[:, None, None]), tissues, groups)


def _is_tissue_map(found: set[int]) -> bool:
    return set(_TISSUE_LABELS) <= found <= {*_TISSUE_LABELS, _OTHER_TISSUE}


def _is_brain(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = set(np.unique(labels).tolist()) - {0}
    return np.isin(labels, _TISSUE_LABELS) if _is_tissue_map(found) else labels > 0


def _anatomy(
    grid: SliceGrid, indices: list[int], labels: NDArray[np.int64]
) -> tuple[NDArray[np.uint8] | None, dict[str, Region]]:
    """Tissues and groups of a map of tissues or of DLMUSE's labels; none of any other map, which is a mask."""
    found = set(np.unique(labels).tolist()) - {0}
    if not _is_tissue_map(found) and not (len(found) > 1 and found <= _DLMUSE_LABELS):
        return None, {}
    of_voxels = labels if _is_tissue_map(found) else tissues_of_dlmuse(labels)
    tissues = _majority(grid, indices, [of_voxels == label for label in _TISSUE_LABELS])
    groups = {name: tissues == label for label, name in zip(_TISSUE_LABELS, TISSUES, strict=True)}
    if not _is_tissue_map(found):
        parts = _majority(grid, indices, [np.isin(labels, members) for members in DLMUSE_GROUPS.values()])
        groups |= {name: parts == label for label, name in enumerate(DLMUSE_GROUPS, 1) if name not in groups}
    return tissues, groups


def _majority(grid: SliceGrid, indices: list[int], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """1 + the number of the mask that covers most of a pixel, 0 where all of them together cover less than half."""
    shares = torch.stack([grid.slices(mask)[indices][:, 0] for mask in masks]).numpy()
    return np.where(shares.sum(0) >= 0.5, shares.argmax(0) + 1, 0).astype(np.uint8)


def _large(region: Region) -> Region:
    """A region without the slices where it has too few pixels for a score."""
    return region & (region.sum((1, 2)) >= _LEAST_PIXELS)[:, None, None]
