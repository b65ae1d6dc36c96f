"""Axial slices of one target modality, read from a folder of NIfTI files and split by subject."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm

from ..errors import UserError
from ..intensity import head_mask, head_median, to_unit_scale
from ..volume import AxialGrid, pad_to, padded_shape, read_mask, read_volume

# A training slice shows at least this share of head, as the slices that scores are taken of.
_MINIMUM_HEAD = 0.1
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Subject:
    """Files of one subject: the target-modality scan, and a brain mask where there is one."""

    name: str
    image: Path
    brain: Path | None


def find_subjects(folder: Path, *, modality: str, brain_suffix: str) -> list[Subject]:
    """Subjects of a folder: NAME_<modality>.nii[.gz] with, optionally, NAME_<brain_suffix>.nii[.gz].

    Raises:
        UserError: there is no such folder or file.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give one that holds files named *_{modality}.nii.gz.")
    subjects = []
    for image in sorted([*folder.glob(f"*_{modality}.nii"), *folder.glob(f"*_{modality}.nii.gz")]):
        name = image.name.split(f"_{modality}.nii")[0]
        masks = [folder / f"{name}_{brain_suffix}{ending}" for ending in (".nii.gz", ".nii")]
        subjects.append(Subject(name, image, next((mask for mask in masks if mask.is_file()), None)))
    if not subjects:
        raise UserError(f"{folder} holds no file named *_{modality}.nii.gz; check the folder and --modality.")
    return subjects


def split_subjects(subjects: list[Subject], *, held_out: int) -> tuple[list[Subject], list[Subject]]:
    """(training, held-out) subjects, always the same ones of the same folder.

    A training that goes on from a checkpoint thus never sees the subjects that were held out before, whatever its seed.

    Raises:
        UserError: no subject would be left to train on.
    """
    if held_out < 1 or held_out >= len(subjects):
        raise UserError(
            f"{held_out} of {len(subjects)} subjects cannot be held out; hold out at least 1 and train on at least 1."
        )
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(subjects))
    return [subjects[i] for i in sorted(order[held_out:])], [subjects[i] for i in sorted(order[:held_out])]


class SliceSet(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Slices (1, H, W) in [0, 1] with their brain masks, held in memory as 8-bit integers.

    With each comes the factor (1, 1, 1) that puts the brain alone on the unit scale of intensity. A slice without a
    mask counts as all brain: stripping its skull leaves it as it is.
    """

    def __init__(self, images: Tensor, brains: Tensor, gains: Tensor, *, has_masks: bool) -> None:
        self._images, self._brains, self._gains = images, brains, gains
        self.has_masks = has_masks

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        return self._images[index].float() / 255, self._brains[index].float(), self._gains[index]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(H, W) of all slices."""
        height, width = self._images.shape[-2:]
        return int(height), int(width)

    def images(self) -> Tensor:
        """All slices (N, 1, H, W), float32."""
        return self._images.float() / 255

    def brain_intensities(self) -> Tensor:
        """Intensities of all voxels inside a brain mask, (n,)."""
        return self._images[self._brains].float() / 255


def read_slices(
    subjects: list[Subject],
    *,
    pixel_size: float,
    stride: int,
    preprocess: Callable[[NDArray[np.float32]], NDArray[np.float32]] = to_unit_scale,
) -> SliceSet:
    """All axial slices with enough head in them, padded alike to multiples of `stride`.

    Args:
        subjects: whose files to read.
        pixel_size: side of the pixels in millimetres.
        stride: of the score network.
        preprocess: turns a volume into intensities in [0, 1].

    Raises:
        UserError: a file cannot be used.
    """
    progress = tqdm(subjects, desc="Reading", unit="subject", disable=None)
    parts = [_subject_slices(subject, pixel_size, preprocess) for subject in progress]
    shapes = [images.shape[-2:] for images, _, _ in parts]
    shape = padded_shape((max(s[0] for s in shapes), max(s[1] for s in shapes)), stride)
    images, brains = (torch.cat([pad_to(part[which], shape) for part in parts]) for which in (0, 1))
    gains = torch.cat([gain for _, _, gain in parts])
    return SliceSet(images, brains.bool(), gains, has_masks=any(subject.brain for subject in subjects))


def _subject_slices(
    subject: Subject, pixel_size: float, preprocess: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> tuple[Tensor, Tensor, Tensor]:
    volume = read_volume(subject.image)
    grid = AxialGrid(volume.array.shape, volume.affine, pixel_size=pixel_size)
    scaled = preprocess(volume.array.astype(np.float32))
    brain = np.ones(scaled.shape, bool) if subject.brain is None else read_mask(subject.brain, volume)
    brains = (grid.slices(brain) >= 0.5).float()
    chosen = grid.slices(head_mask(scaled)).mean((1, 2, 3)) >= _MINIMUM_HEAD
    images = (grid.slices(scaled)[chosen] * 255).round().to(torch.uint8)
    gain = 0.5 / head_median(scaled * brain)
    return images, brains[chosen].to(torch.uint8), torch.full((len(images), 1, 1, 1), gain)


class EpochSampler(Sampler[int]):
    """Indices of one rank's slices for a fixed number of steps, drawn by seed and epoch alone.

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
