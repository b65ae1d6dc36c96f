"""Slices of one target modality, read from a folder of volumes and split by subject."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset, Sampler, default_collate
from tqdm import tqdm

from ...errors import UserError
from ...images.files import VOLUME_ENDINGS, check_folder, named_volumes
from ...images.masks import read_labels, read_mask
from ...images.normalization import LEAST_HEAD_SHARE, head_mask, head_median, to_unit_scale
from ...images.planes import AXIAL
from ...images.slice_grid import SliceGrid, pad_to, padded_shape
from ...images.volume import Volume, read_volume
from ..anatomy import anatomical_classes, class_means, with_tissue_levels
from ..slice_batch import SliceBatch

_AIR_MARGIN = 1  # pixels


@dataclass(frozen=True)
class Subject:
    """Files of one subject: the target-modality scan and, if present, a brain mask and a label map."""

    name: str
    image: Path
    brain: Path | None
    labels: Path | None


def find_subjects(
    folder: Path, *, modality: str, brain_suffixes: Sequence[str], label_suffix: str | None = None
) -> list[Subject]:
    """Find the subjects of a folder: NAME_<modality>.nii.gz with, optionally, NAME_<suffix>.nii.gz of mask and labels.

    They may have any ending of volumes.

    Raises:
        UserError: there is no such folder or file.
    """
    check_folder(folder, wanted=f"files named *_{modality}.nii.gz")

    def find(name: str, suffixes: Sequence[str]) -> Path | None:
        files = [folder / f"{name}_{suffix}{ending}" for suffix in suffixes for ending in VOLUME_ENDINGS]
        return next((file for file in files if file.is_file()), None)

    subjects = []
    for name, image in named_volumes(folder, modality).items():
        subjects.append(
            Subject(name, image, find(name, brain_suffixes), find(name, [] if label_suffix is None else [label_suffix]))
        )
    if not subjects:
        raise UserError(f"{folder} holds no file named *_{modality}.nii.gz; check the folder and --modality.")
    return subjects


def split_subjects(subjects: list[Subject], *, held_out: int) -> tuple[list[Subject], list[Subject]]:
    """Split subjects into training and held-out ones: those whose names have the least hash.

    Whoever was held out of a folder is so too when files are added to it, unless an added one takes the place, and
    whatever the seed: a training that goes on from a checkpoint sees hardly anybody that was held out before.

    Raises:
        UserError: no subject would be left to train on.
    """
    if held_out < 1 or held_out >= len(subjects):
        raise UserError(
            f"{held_out} of {len(subjects)} subjects cannot be held out; hold out at least 1 and train on at least 1."
        )
    order = sorted(subjects, key=lambda subject: hashlib.sha256(subject.name.encode()).digest())
    chosen = {subject.name for subject in order[:held_out]}
    return (
        [subject for subject in subjects if subject.name not in chosen],
        [subject for subject in subjects if subject.name in chosen],
    )


class SliceSet(Dataset[SliceBatch]):
    """Slices with masks, classes and gains, held in memory as 8-bit integers.

    A slice without a mask counts as all brain: stripping its skull leaves it as it is.
    """

    def __init__(self, slices: SliceBatch) -> None:
        self._slices = slices

    def __len__(self) -> int:
        return len(self._slices.images)

    def __getitem__(self, index: int) -> SliceBatch:
        images, brains, gains, classes, means = (part[index] for part in self._slices)
        return SliceBatch(images.float() / 255, brains.float(), gains, classes, means)

    def images(self) -> Tensor:
        """Return all slices (N, 1, H, W), float32."""
        return self._slices.images.float() / 255

    def batch(self, indices: list[int]) -> SliceBatch:
        """Return some of the slices."""
        return default_collate([self[index] for index in indices])


def read_slices(
    subjects: list[Subject],
    *,
    pixel_size: float,
    stride: int,
    preprocess: Callable[[NDArray[np.float32]], NDArray[np.float32]] = to_unit_scale,
    levels: tuple[float, float, float, float] | None = None,
    planes: Sequence[str] = (AXIAL,),
) -> SliceSet:
    """Read all slices with enough head in them, padded alike to multiples of `stride`.

    Args:
        subjects: files to read.
        pixel_size: side of the pixels in millimeters.
        stride: of the score network.
        preprocess: turns a volume into intensities in [0, 1].
        levels: intensities of fluid, cortex, white matter and scalp, for scans in which these are known.
        planes: names in `planes.PLANES`.

    Raises:
        UserError: a file cannot be used.
    """
    notes: dict[str, list[str]] = {}
    parts: list[SliceBatch] = []
    for subject in tqdm(subjects, desc="Reading", unit="subject", disable=None):
        scan = read_scan(subject, preprocess, levels, notes)
        parts += _slices_of(scan, planes, pixel_size, subject.name, notes)
    print_notes(notes, len(subjects))
    if not parts:
        raise UserError(f"None of {len(subjects)} scans shows enough of a head; give whole scans of heads.")
    shapes = [part.images.shape[-2:] for part in parts]
    shape = padded_shape((max(s[0] for s in shapes), max(s[1] for s in shapes)), stride)
    padded = [
        part._replace(
            images=pad_to(part.images, shape), brains=pad_to(part.brains, shape), classes=pad_to(part.classes, shape)
        )
        for part in parts
    ]
    slices = SliceBatch(*(torch.cat(same) for same in zip(*padded, strict=True)))
    return SliceSet(slices._replace(brains=slices.brains.bool()))


def print_notes(notes: dict[str, list[str]], count: int) -> None:
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


def read_scan(
    subject: Subject,
    preprocess: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    levels: tuple[float, float, float, float] | None,
    notes: dict[str, list[str]],
) -> ReadScan:
    """Read a subject's scan, its brain and its anatomical classes, and bring its tissues to their levels.

    Args:
        subject: files to read.
        preprocess: turns a volume into intensities in [0, 1].
        levels: intensities of fluid, cortex, white matter and scalp, for scans in which these are known.
        notes: notes with the names of the subjects that they are about; new ones are added.

    Raises:
        UserError: a file cannot be used.
    """
    volume = read_volume(subject.image)
    scaled = preprocess(volume.array.astype(np.float32))
    labels = _labels(subject, volume, notes)
    brain = _brain(subject, volume, labels)
    # Each voxel has one class and one target in every plane.
    orientation = io_orientation(volume.affine)
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)[np.argsort(orientation[:, 0])]

    def slices_of(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.moveaxis(apply_orientation(array, orientation), 2, 0))

    slices = slices_of(scaled)
    classes = anatomical_classes(
        slices,
        brain=None if brain is None else slices_of(brain),
        labels=None if labels is None else slices_of(labels),
        spacing=(float(spacing[2]), float(spacing[0]), float(spacing[1])),
    )
    if levels is not None:
        try:
            slices = with_tissue_levels(slices, classes, levels, spacing=(float(spacing[0]), float(spacing[1])))
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


def _slices_of(
    scan: ReadScan, planes: Sequence[str], pixel_size: float, name: str, notes: dict[str, list[str]]
) -> list[SliceBatch]:
    """Cut the slices of a scan that show enough of the head, in each of the planes."""
    parts = []
    for plane in planes:
        try:
            part = slices_of_plane(scan, plane, pixel_size)
        except UserError as error:
            notes.setdefault(f"No {plane} slices, because {error}", []).append(name)
        else:
            parts.append(part)
    return parts


def slices_of_plane(scan: ReadScan, plane: str, pixel_size: float) -> SliceBatch:
    """Slices of a scan in a plane that show enough of the head, cut to the box about it, images in 8 bits.

    Raises:
        UserError: none does.
    """
    grid = SliceGrid(scan.images.shape, scan.affine, pixel_size=pixel_size, plane=plane)
    images, head = grid.slices(scan.images), grid.slices(scan.head)
    classes = functional.interpolate(grid.plane_slices(scan.classes), size=grid.slice_shape, mode="nearest-exact")
    chosen = head.mean((1, 2, 3)) >= LEAST_HEAD_SHARE
    if not chosen.any():
        raise UserError(f"less than {LEAST_HEAD_SHARE:.0%} of each is head")
    box = _bounding_box(head[chosen].amax((0, 1)) >= 0.5)
    inside = torch.ones_like(images) if scan.brain is None else (grid.slices(scan.brain) >= 0.5).float()
    brain_alone = (images * inside).numpy()
    gain = 0.5 / head_median(brain_alone) if scan.brain is not None and brain_alone.any() else 1.0
    count = int(chosen.sum())
    return SliceBatch(
        images=(images[chosen][box] * 255).round().to(torch.uint8),
        brains=inside[chosen][box].byte(),
        gains=torch.full((count, 1, 1, 1), gain),
        classes=classes[chosen][box].byte(),
        class_means=torch.from_numpy(scan.class_means).expand(count, -1),
    )


def _bounding_box(mask: Tensor) -> tuple[EllipsisType | slice, ...]:
    """Return slices of rows and columns around a mask (H, W) with a margin: more air costs time and teaches little."""
    ends = [torch.nonzero(mask.any(1 - axis)).flatten()[[0, -1]].tolist() for axis in (0, 1)]
    return (..., *(slice(max(0, first - _AIR_MARGIN), last + 1 + _AIR_MARGIN) for first, last in ends))


def _labels(subject: Subject, volume: Volume, notes: dict[str, list[str]]) -> NDArray[np.integer] | None:
    """Return the label map of a scan; None if there is none that fits."""
    if subject.labels is None:
        notes.setdefault("No label map, so anatomy comes from intensity and place alone", []).append(subject.name)
        return None
    try:
        labels = read_labels(subject.labels, volume)
    except UserError as error:
        notes.setdefault(f"Label map left out ({error})", []).append(subject.name)
        return None
    if not labels.any():
        notes.setdefault("Label map left out (it is empty)", []).append(subject.name)
        return None
    return labels


def _brain(subject: Subject, volume: Volume, labels: NDArray[np.integer] | None) -> NDArray[np.bool_] | None:
    """Return the brain of a scan: its mask, or the labeled voxels."""
    if subject.brain is not None:
        return read_mask(subject.brain, volume)
    return None if labels is None else labels > 0


class EpochSampler(Sampler[int]):
    """Sampler of one rank's slices for a fixed number of steps, by seed and epoch alone.

    An epoch is thus the same however often training was interrupted, and as long as wanted between two checkpoints.
    """

    def __init__(
        self, size: int, *, per_epoch: int, seed: int, epoch: Callable[[], int], rank: int = 0, ranks: int = 1
    ) -> None:
        self._size, self._per_epoch, self._seed = size, per_epoch, seed
        self._epoch, self._rank, self._ranks = epoch, rank, ranks

    def __len__(self) -> int:
        return self._per_epoch

    def __iter__(self) -> Iterator[int]:
        total = self._per_epoch * self._ranks
        first = self._epoch() * total
        passes = range(first // self._size, (first + total - 1) // self._size + 1)
        permutations = {number: self._permutation(number) for number in passes}
        for position in range(first + self._rank, first + total, self._ranks):
            yield int(permutations[position // self._size][position % self._size])

    def _permutation(self, number: int) -> NDArray[np.int64]:
        return np.random.default_rng((self._seed, number)).permutation(self._size)
