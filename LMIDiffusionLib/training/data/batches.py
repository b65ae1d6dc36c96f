"""Training batches cut from scans and label maps, each with a pixel size of its own and the same number of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from ...images.planes import PLANES
from ..anatomy import AIR
from ..slice_batch import Pixels, SliceBatch
from .scans import TrainingScan

FIELD = 224.0
"""Millimeters across, which holds most heads."""
_WIDEST = 1.1  # of the field, for a square that is not a waste of air
_FINEST_SHARE, _LARGEST_SHARE = 0.25, 0.2  # of the batches of fine scans, at the ends of the range of sizes
_LEAST_TISSUE, _TRIES = 0.3, 4  # of a crop, which else is drawn anew
_THICKNESSES = (0.6, 0.15, 0.15, 0.1)  # shares of the batches of fine scans whose slices are 1, 2, 3, 4 voxels thick


class CutBatch(NamedTuple):
    """Slices of one pixel size.

    Attributes:
        slices: on the pixels of the scans, whose classes they have.
        pixels: those, and the pixels that the slices are to be brought to.
        is_drawn: True for slices of label maps, whose images are still to be drawn.
    """

    slices: SliceBatch
    pixels: Pixels
    is_drawn: bool


@dataclass(frozen=True)
class BatchMix:
    """Kinds, number and windows of the slices in batches.

    Attributes:
        fine: share of batches of fine scans, where there are coarse ones too.
        labels: share of batches of label maps, where there are any.
        batch_size: slices of the largest pixels that a process gets of a batch; of finer ones fewer or smaller ones,
            which have as many pixels.
        stride: of the network; heights and widths are multiples of it.
        aspect: largest logarithm of the ratio of a side to the square's.
        shift: share of the room about a slice over which its window is placed at random; 0 for its middle.
    """

    fine: float = 0.3
    labels: float = 0.3
    batch_size: int = 8
    stride: int = 8
    aspect: float = 0.2
    shift: float = 1.0


class CutBatches(Dataset[CutBatch]):
    """Batches by number, each drawn from the seed and its number alone, so that resuming changes nothing.

    Several processes share the slices of a batch as `SliceDraws` shares their draws.
    """

    def __init__(
        self,
        scans: Sequence[TrainingScan],
        sizes: tuple[float, float],
        mix: BatchMix,
        *,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """
        Args:
            scans: scans and label maps.
            sizes: least and largest side of pixels in millimeters.
            mix: shares of the kinds of slices.
            seed: random seed.
            rank: of this process.
            ranks: number of processes.
        """
        self._finest, self._largest = sizes
        self._mix, self._seed, self._rank, self._ranks = mix, seed, rank, ranks
        labels = [scan for scan in scans if scan.images is None]
        images = [scan for scan in scans if scan.images is not None]
        fine = [scan for scan in images if scan.spacing < self._largest]
        coarse = [scan for scan in images if scan.spacing >= self._largest]
        kinds = [(coarse, 1 - mix.fine - mix.labels), (fine, mix.fine), (labels, mix.labels)]
        self._kinds = [(found, share) for found, share in kinds if found]

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> CutBatch:
        rng = np.random.default_rng((self._seed, number))
        shares = np.array([share for _, share in self._kinds])
        scans, _ = self._kinds[int(rng.choice(len(shares), p=shares / shares.sum()))]
        spacing = scans[0].spacing
        size = self._draw_size(spacing, rng)
        count, shape = self._draw_shape(size, rng)
        native = (max(1, round(shape[0] * size / spacing)), max(1, round(shape[1] * size / spacing)))
        parts = 1
        if spacing < self._largest:
            parts += int(rng.choice(len(_THICKNESSES), p=_THICKNESSES))
        crops = [
            _crop(scans[int(rng.integers(len(scans)))], native, parts, rng, shift=self._mix.shift) for _ in range(count)
        ]
        slices = SliceBatch(*(torch.cat(same) for same in zip(*crops[self._rank :: self._ranks], strict=True)))
        return CutBatch(slices, Pixels(spacing, size, shape, parts), scans[0].images is None)

    def _draw_size(self, spacing: float, rng: np.random.Generator) -> float:
        least = max(spacing, self._finest)
        place, between = rng.random(2)
        if place < _FINEST_SHARE:
            return least
        if place < _FINEST_SHARE + _LARGEST_SHARE:
            return self._largest
        return float(least * (self._largest / least) ** between)

    def _draw_shape(self, size: float, rng: np.random.Generator) -> tuple[int, tuple[int, int]]:
        """Draw number and size of the slices of all processes: few whole ones or more crops, with as many pixels."""
        total = self._mix.batch_size * self._ranks
        pixels = total * (FIELD / self._largest) ** 2
        counts = [total // part for part in (1, 2, 4) if total % (part * self._ranks) == 0]
        sides = [math.sqrt(pixels / count) for count in counts]
        fitting = [place for place, side in enumerate(sides) if side * size <= _WIDEST * FIELD] or [0]
        chosen = fitting[int(rng.integers(len(fitting)))]
        ratio = math.exp(self._mix.aspect * (2 * rng.random() - 1))
        stride = self._mix.stride
        height, width = (max(stride, stride * round(sides[chosen] * each / stride)) for each in (ratio, 1 / ratio))
        return counts[chosen], (height, width)


def _crop(
    scan: TrainingScan, shape: tuple[int, int], parts: int, rng: np.random.Generator, *, shift: float
) -> SliceBatch:
    """Cut a random window of consecutive slices, (parts, 1, *shape), padded with air."""
    plane = [*scan.slices][int(rng.integers(len(scan.slices)))]
    through = PLANES[plane][2]
    first = int(rng.choice(scan.slices[plane])) - parts // 2
    indices = np.arange(first, first + parts).clip(0, scan.classes.shape[through] - 1)
    classes = _slices(scan.classes, indices, through)
    lengths = [*zip(classes.shape[1:], shape, strict=True)]
    for _ in range(_TRIES):
        starts = [_start(length, wanted, rng, shift=shift) for length, wanted in lengths]
        cut = _window(classes, starts, shape)
        if (cut != AIR).mean() >= _LEAST_TISSUE:
            break
    images = np.zeros_like(cut)
    if scan.images is not None:
        images = _window(_slices(scan.images, indices, through), starts, shape)
    # Outside the scan is brain if the whole scan counts as brain: such a slice is not stripped.
    brain = _window(_slices(scan.brain, indices, through), starts, shape, fill=int(not scan.is_masked))
    return SliceBatch(
        images=torch.from_numpy(images)[:, None].float() / 255,
        brains=torch.from_numpy(brain)[:, None].float(),
        gains=torch.full((parts, 1, 1, 1), scan.gain),
        classes=torch.from_numpy(cut)[:, None],
        class_means=torch.from_numpy(scan.class_means).expand(parts, -1),
    )


def _slices(volume: NDArray[np.uint8], indices: NDArray[np.int64], through: int) -> NDArray[np.uint8]:
    """Return slices (S, rows, columns) of a volume."""
    return np.moveaxis(volume.take(indices, axis=through), through, 0)


def _start(length: int, wanted: int, rng: np.random.Generator, *, shift: float) -> int:
    """Draw the start of a window of length `wanted` in a line of `length`; negative for a longer window."""
    least, most = sorted((0, length - wanted))
    middle = (length - wanted) // 2
    return middle + round(shift * (int(rng.integers(least, most + 1)) - middle))


def _window(
    array: NDArray[np.uint8], starts: Sequence[int], shape: tuple[int, int], *, fill: int = 0
) -> NDArray[np.uint8]:
    """Cut a window from slices (S, rows, columns)."""
    result = np.full((len(array), *shape), fill, array.dtype)
    taken, placed = [slice(None)], [slice(None)]
    for start, wanted, length in zip(starts, shape, array.shape[1:], strict=True):
        first, last = max(0, start), min(length, start + wanted)
        taken.append(slice(first, last))
        placed.append(slice(first - start, last - start))
    result[tuple(placed)] = array[tuple(taken)]
    return result


def held_out_batches(
    scans: Sequence[TrainingScan], sizes: tuple[float, float], mix: BatchMix, *, count: int
) -> list[CutBatch]:
    """Return batches of scans, without label maps, that are the same for every call."""
    batches = CutBatches([scan for scan in scans if scan.images is not None], sizes, mix, seed=0)
    return [batches[number] for number in range(count)]


class StepSampler(Sampler[int]):
    """Numbers of the batches of an epoch."""

    def __init__(self, *, per_epoch: int, epoch: Callable[[], int]) -> None:
        self._per_epoch, self._epoch = per_epoch, epoch

    def __len__(self) -> int:
        return self._per_epoch

    def __iter__(self) -> Iterator[int]:
        first = self._epoch() * self._per_epoch
        yield from range(first, first + self._per_epoch)
