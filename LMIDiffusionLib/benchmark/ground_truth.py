"""The ground truth of a pair: the true target's scored slices, its brain, tissues and anatomical groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UserError
from ..images.masks import read_labels
from ..images.normalization import LEAST_HEAD_SHARE, head_mask
from ..images.slice_grid import SliceGrid
from ..images.volume import Volume
from ..segmentation.classes import TISSUES
from ..segmentation.dlmuse import DLMUSE_GROUPS, DLMUSE_LABELS, tissues_from_dlmuse
from ..translation.sliced_volume import SlicedVolume
from .metrics import Region
from .pairs import Pair

# A region with fewer pixels in a slice, or with a smaller share of the slice's head, is not scored.
_LEAST_PIXELS, _LEAST_SHARE = 100, 0.1
_TISSUE_LABELS = (1, 2, 3)
_OTHER_TISSUE = 4


@dataclass(frozen=True)
class GroundTruth:
    """The scored slices of a true target, (N, H, W) each.

    Attributes:
        indices: numbers of the axial slices, from the feet up.
        images: in [0, 1].
        head: mask of all but the air.
        brain: mask of the brain; None where it is not known.
        outside: mask of the head without the brain, empty in slices that show little else than brain; None where the
            brain is not known.
        tissues: 1 CSF, 2 gray matter, 3 white matter; None without labels.
        groups: masks of parts of the brain by name, whose mean intensities are compared; empty without labels.
        tissue_volume: tissues of the whole target, (I, J, K); None without labels.
    """

    indices: list[int]
    images: NDArray[np.float32]
    head: Region
    brain: Region | None
    outside: Region | None
    tissues: NDArray[np.uint8] | None
    groups: dict[str, Region]
    tissue_volume: NDArray[np.uint8] | None = None

    @property
    def inner_region(self) -> Region:
        """Mask of where an expected error is scored: the brain, or the head where the brain is not known."""
        return self.head if self.brain is None else self.brain


def read_ground_truth(pair: Pair, volume: Volume, target: SlicedVolume, *, every: int) -> GroundTruth:
    """Read the ground truth of a pair whose target has been read, scaled and cut.

    Scores are taken on every `every`-th of the axial slices with at least 10 % of head.

    Raises:
        UserError: there is no such slice, or the map of the brain cannot be used.
    """
    grid, bright = target.grid, head_mask(target.scaled, otsu=target.otsu)
    shares = grid.slices(bright).mean((1, 2, 3))
    indices = [index for index in range(grid.slice_count) if shares[index] >= LEAST_HEAD_SHARE][::every]
    if not indices:
        raise UserError(f"{pair.target} has no axial slice with a tenth of it head; give a volume of a head.")
    images, head = target.slices[indices, 0].numpy(), target.outlines(indices)[:, 0].numpy()
    if pair.brain is None:
        return GroundTruth(indices, images, head, None, None, None, {})
    labels = read_labels(pair.brain, volume)
    brain = _majority(grid, indices, [_is_brain(labels)]) > 0
    tissue_volume = _tissue_volume(labels)
    tissues, groups = _anatomy(grid, indices, labels, tissue_volume)
    outside = head & ~brain
    beyond = grid.slices(bright & ~_is_brain(labels))[indices].sum((1, 2, 3))
    few = (beyond < _LEAST_SHARE * grid.slices(bright)[indices].sum((1, 2, 3))).numpy()
    outside = _large(outside & ~few[:, None, None])
    return GroundTruth(indices, images, head, _large(brain), outside, tissues, groups, tissue_volume)


def _is_tissue_map(found: set[int]) -> bool:
    return set(_TISSUE_LABELS) <= found <= {*_TISSUE_LABELS, _OTHER_TISSUE}


def _is_brain(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = set(np.unique(labels).tolist()) - {0}
    return np.isin(labels, _TISSUE_LABELS) if _is_tissue_map(found) else labels > 0


def _tissue_volume(labels: NDArray[np.int64]) -> NDArray[np.uint8] | None:
    """Return the tissues of a tissue map or of DLMUSE's labels; None for another map, which is a mask."""
    found = set(np.unique(labels).tolist()) - {0}
    if _is_tissue_map(found):
        return np.where(labels == _OTHER_TISSUE, 0, labels).astype(np.uint8)
    return tissues_from_dlmuse(labels) if len(found) > 1 and found <= DLMUSE_LABELS else None


def read_tissues(path: Path, volume: Volume) -> NDArray[np.uint8] | None:
    """Read the tissues (I, J, K) of a map on a volume's grid; None for a brain mask.

    Raises:
        UserError: as `read_labels`.
    """
    return _tissue_volume(read_labels(path, volume))


def _anatomy(
    grid: SliceGrid, indices: list[int], labels: NDArray[np.int64], tissue_volume: NDArray[np.uint8] | None
) -> tuple[NDArray[np.uint8] | None, dict[str, Region]]:
    """Return tissues and anatomical groups of the scored slices; nothing without tissues."""
    if tissue_volume is None:
        return None, {}
    tissues = _majority(grid, indices, [tissue_volume == label for label in _TISSUE_LABELS])
    groups = {name: tissues == label for label, name in zip(_TISSUE_LABELS, TISSUES, strict=True)}
    if not _is_tissue_map(set(np.unique(labels).tolist()) - {0}):
        parts = _majority(grid, indices, [np.isin(labels, members) for members in DLMUSE_GROUPS.values()])
        groups |= {name: parts == label for label, name in enumerate(DLMUSE_GROUPS, 1) if name not in groups}
    return tissues, groups


def _majority(grid: SliceGrid, indices: list[int], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Return 1 + the number of the mask that covers most of a pixel, 0 where all together cover less than half."""
    shares = torch.stack([grid.slices(mask)[indices][:, 0] for mask in masks]).numpy()
    return np.where(shares.sum(0) >= 0.5, shares.argmax(0) + 1, 0).astype(np.uint8)


def _large(region: Region) -> Region:
    """Empty a region in the slices where it has too few pixels for a score."""
    return region & (region.sum((1, 2)) >= _LEAST_PIXELS)[:, None, None]
