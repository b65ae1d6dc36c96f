"""Scans of the target modality with their head, their brain and their anatomical classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray
from torch.nn import functional

from ...errors import UserError
from ...images.masks import read_labels, read_mask
from ...images.normalization import LEAST_HEAD_SHARE, head_mask, to_unit_scale
from ...images.slice_grid import SliceGrid
from ...images.volume import Volume, read_volume
from ..anatomy import anatomical_classes, class_means, with_tissue_levels
from ..n4 import correct_bias_field
from ..options import DataOptions
from ..slice_batch import SliceBatch
from .subjects import Subject

_AIR_MARGIN = 1  # pixels

Notes = dict[str, list[str]]
"""Notes about files, each with the names of the subjects that it is about."""


def print_notes(notes: Notes, count: int) -> None:
    """Print each note with the first names of those of `count` subjects that it is about."""
    for note, noted in notes.items():
        names = list(dict.fromkeys(noted))
        print(f"{note}: {len(names)} of {count} subjects ({', '.join(names[:5])}{', ...' * (len(names) > 5)})")


@dataclass(frozen=True)
class ReadScan:
    """Arrays of a subject's scan, (I, J, K) whose axes run to the right, to the front and up.

    Attributes:
        affine: voxel indices to millimeters.
        head: mask.
        images: intensities in [0, 1], the targets.
        brain: mask; None if there is none.
        classes: anatomical ones.
        class_means: mean intensity (MOST_CLASSES,) of each.
    """

    affine: NDArray[np.float64]
    head: NDArray[np.bool_]
    images: NDArray[np.float32]
    brain: NDArray[np.bool_] | None
    classes: NDArray[np.uint8]
    class_means: NDArray[np.float32]


def voxel_sizes(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sides of a voxel in millimeters along the axes that run to the right, to the front and up."""
    order = np.argsort(io_orientation(affine)[:, 0])
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0)[order])


def read_scan(subject: Subject, options: DataOptions, notes: Notes) -> ReadScan:
    """Read a subject's scan, its brain and its anatomical classes, and bring its tissues to their levels.

    Args:
        subject: files to read.
        options: how they are read.
        notes: new ones are added.

    Raises:
        UserError: a file cannot be used.
    """
    volume = read_volume(subject.image)
    array = volume.array.astype(np.float32)
    scaled = to_unit_scale(correct_bias_field(array) if options.correct_bias else array)
    labels = _labels(subject, volume, notes)
    brain = _brain(subject, volume, labels)
    # Each voxel has one class and one target in every plane.
    orientation = io_orientation(volume.affine)
    right, front, up = voxel_sizes(volume.affine).tolist()

    def slices_of(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.moveaxis(apply_orientation(array, orientation), 2, 0))

    slices = slices_of(scaled)
    classes = anatomical_classes(
        slices,
        brain=None if brain is None else slices_of(brain),
        labels=None if labels is None else slices_of(labels),
        spacing=(up, right, front),
    )
    if options.tissue_levels is not None:
        try:
            slices = with_tissue_levels(slices, classes, options.tissue_levels, spacing=(right, front))
        except UserError as error:
            notes.setdefault(f"Intensities left as they are, because {error}", []).append(subject.name)
    return ReadScan(
        affine=volume.affine @ inv_ornt_aff(orientation, volume.array.shape),
        head=apply_orientation(head_mask(scaled), orientation),
        images=np.moveaxis(slices, 0, 2),
        brain=None if brain is None else apply_orientation(brain, orientation),
        classes=np.moveaxis(classes, 0, 2),
        class_means=class_means(slices, classes),
    )


def _labels(subject: Subject, volume: Volume, notes: Notes) -> NDArray[np.integer] | None:
    """Return the label map of a scan; None if there is none that fits."""
    if subject.labels is None:
        notes.setdefault("No label map, so anatomy comes from intensity and place alone", []).append(subject.name)
        return None
    try:
        labels = read_labels(subject.labels, volume)
        if not labels.any():
            raise UserError("it is empty")
    except UserError as error:
        notes.setdefault(f"Label map left out ({error})", []).append(subject.name)
        return None
    return labels


def _brain(subject: Subject, volume: Volume, labels: NDArray[np.integer] | None) -> NDArray[np.bool_] | None:
    """Return the brain of a scan: its mask, or the labeled voxels."""
    if subject.brain is not None:
        return read_mask(subject.brain, volume)
    return None if labels is None else labels > 0


def slices_of_plane(scan: ReadScan, plane: str, pixel_size: float) -> SliceBatch:
    """Cut the slices of a scan that show enough of the head to the box about it, as translation cuts them.

    The brain counts as unknown.

    Raises:
        UserError: no slice shows enough of the head.
    """
    grid = SliceGrid(scan.images.shape, scan.affine, pixel_size=pixel_size, plane=plane)
    images, head = grid.slices(scan.images), grid.slices(scan.head)
    classes = functional.interpolate(grid.plane_slices(scan.classes), size=grid.slice_shape, mode="nearest-exact")
    chosen = head.mean((1, 2, 3)) >= LEAST_HEAD_SHARE
    if not chosen.any():
        raise UserError(f"less than {LEAST_HEAD_SHARE:.0%} of each {plane} slice is head")
    outline = head[chosen].amax((0, 1)) >= 0.5
    ends = [torch.nonzero(outline.any(1 - axis)).flatten()[[0, -1]].tolist() for axis in (0, 1)]
    rows, columns = (slice(max(0, first - _AIR_MARGIN), last + 1 + _AIR_MARGIN) for first, last in ends)
    cut = images[chosen][:, :, rows, columns]
    count = len(cut)
    return SliceBatch(
        images=cut,
        brains=torch.ones_like(cut),
        gains=torch.ones(count, 1, 1, 1),
        classes=classes[chosen][:, :, rows, columns].byte(),
        class_means=torch.from_numpy(scan.class_means).expand(count, -1),
    )
