"""Slices of aligned pairs of scans, source and target, from which a refinement draws its batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from nibabel.orientations import apply_orientation, io_orientation
from torch import Tensor
from torch.utils.data import Dataset

from ...errors import UserError
from ...images.normalization import to_unit_scale
from ...images.slice_grid import pad_to, padded_shape
from ...images.volume import read_volume
from ...model.checkpoint import Checkpoint
from ...runs.file_lists import bids_subject, read_file_list
from ...translation.pixel_size import choose_pixel_size
from ..options import DataOptions
from ..slice_batch import Pixels, SliceBatch
from .reading import read_scan, slices_of_plane
from .subjects import Subject

_AS_SCANNED = DataOptions(correct_bias=False, tissue_levels=None)


@dataclass(frozen=True)
class PairFiles:
    """Files of a pair on one grid, and whose they are."""

    subject: str
    source: Path
    target: Path


class PairSlices(NamedTuple):
    """Slices of a person in one plane, (S, 1, H, W) each.

    Attributes:
        targets: slices of the target, and what is known of them.
        sources: the same slices of the source, in [0, 1].
        pixel_size: side of the pixels in millimeters.
    """

    targets: SliceBatch
    sources: Tensor
    pixel_size: float


class PairBatch(NamedTuple):
    """A batch of a refinement; the first `real` slices are translated from their sources, the others from copies.

    Attributes:
        slices: targets.
        sources: (B, 1, H, W) in [0, 1].
        real: number of real pairs.
        pixels: of the slices.
    """

    slices: SliceBatch
    sources: Tensor
    real: int
    pixels: Pixels


PersonSlices = dict[str, PairSlices]
"""Slices of a person by plane."""


def read_pair_files(path: Path) -> list[PairFiles]:
    """Read rows source,target of a CSV file, with a column `subject` or, without it, BIDS names or file names.

    Raises:
        UserError: the list has a row that cannot be used, or none.
    """
    listed = read_file_list(path, required=("source", "target"), texts=("subject",))
    if listed.problems:
        raise UserError(f"Not all pairs can be used: {'; '.join(listed.problems)}.")
    return [_pair(row.paths["source"], row.paths["target"], row.texts.get("subject")) for row in listed.rows]


def _pair(source: Path, target: Path, subject: str | None) -> PairFiles:
    return PairFiles(subject or bids_subject(target) or str(target.resolve()), source, target)


def read_pair(files: PairFiles, checkpoint: Checkpoint, planes: Sequence[str]) -> PersonSlices:
    """Read a pair, and cut it as translation does.

    Args:
        files: of the pair.
        checkpoint: to be refined; decides the pixels.
        planes: of the slices; those that show too little of the head are left out.

    Raises:
        UserError: a file cannot be used, or both lie on different grids.
    """
    source, target = read_volume(files.source), read_volume(files.target)
    if not source.shares_grid_with(target):
        raise UserError(
            f"{files.source} and {files.target} lie on different grids; give a folder, so that they are aligned."
        )
    scan = read_scan(Subject(files.subject, files.target), _AS_SCANNED, {})
    scaled = apply_orientation(to_unit_scale(source.array), io_orientation(target.affine))
    other = dataclasses.replace(scan, images=scaled)
    pixel_size = choose_pixel_size(target.affine, checkpoint)
    found = {}
    for plane in planes:
        try:
            targets, sources = (slices_of_plane(each, plane, pixel_size) for each in (scan, other))
        except UserError:
            continue
        found[plane] = PairSlices(targets, sources.images, pixel_size)
    if not found:
        raise UserError(f"{files.target} shows too little of a head; give whole scans of heads.")
    return found


class PairBatches(Dataset[PairBatch]):
    """Batches by number, each drawn from the seed and its number alone: one plane, half of the slices as real pairs."""

    def __init__(self, people: Sequence[PersonSlices], *, batch_size: int, stride: int, seed: int) -> None:
        """
        Args:
            people: their slices by plane.
            batch_size: slices of a batch.
            stride: of the network.
            seed: of all that is random.
        """
        self._people, self._batch_size, self._stride, self._seed = people, batch_size, stride, seed

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> PairBatch:
        rng = np.random.default_rng((self._seed, number))
        planes = sorted({plane for person in self._people for plane in person})
        plane = planes[int(rng.integers(len(planes)))]
        able = [person[plane] for person in self._people if plane in person]
        size = able[int(rng.integers(len(able)))].pixel_size
        able = [each for each in able if each.pixel_size == size]
        chosen = [able[int(rng.integers(len(able)))] for _ in range(self._batch_size)]
        indices = [int(rng.integers(len(each.sources))) for each in chosen]
        return batch_of(chosen, indices, stride=self._stride, real=self._batch_size // 2)


def batch_of(chosen: Sequence[PairSlices], indices: Sequence[int], *, stride: int, real: int) -> PairBatch:
    """Return a batch of slices of one pixel size, one of each, padded alike to multiples of the stride."""
    sides = [part.sources.shape[-2:] for part in chosen]
    shape = padded_shape((max(side[0] for side in sides), max(side[1] for side in sides)), stride)
    size = chosen[0].pixel_size

    def taken(part: Callable[[PairSlices], Tensor]) -> list[Tensor]:
        return [part(each)[[index]] for each, index in zip(chosen, indices, strict=True)]

    def padded(part: Callable[[PairSlices], Tensor]) -> Tensor:
        return torch.cat([pad_to(each, shape) for each in taken(part)])

    slices = SliceBatch(
        images=padded(lambda each: each.targets.images),
        brains=torch.ones(len(chosen), 1, *shape),  # unknown: nothing is reduced to its brain
        gains=torch.cat(taken(lambda each: each.targets.gains)),
        classes=padded(lambda each: each.targets.classes),
        class_means=torch.cat(taken(lambda each: each.targets.class_means)),
    )
    return PairBatch(slices, padded(lambda each: each.sources), real, Pixels(size, size))
