"""Scans and label maps for training batches, held in memory on isotropic grids and cached on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from ...errors import UserError
from ...images.files import atomic_path, stem
from ...images.masks import read_label_volume
from ...images.normalization import LEAST_HEAD_SHARE, head_median
from ...images.planes import PLANES
from ..anatomy import AIR, MOST_CLASSES
from ..head_labels import brain_of_classes, classes_of_labels
from ..options import DataOptions
from .reading import Notes, read_scan, voxel_sizes
from .subjects import Subject

_READING = 1
"""Version of what reading makes of a file; a cache of another one is read anew."""
_FINE = 1.25  # a scan is fine if its voxels are at most so many times as long as the finest pixels
_MARGIN = 2  # voxels about the head


@dataclass(frozen=True)
class TrainingScan:
    """A scan, or a label map without a scan, on an isotropic grid: axes to the right, to the front, up.

    Attributes:
        name: of the subject.
        spacing: of the voxels, in millimeters.
        images: intensities (X, Y, Z), uint8, 255 for 1; None for a label map.
        classes: anatomical classes (X, Y, Z), uint8.
        brain: mask (X, Y, Z), uint8; all ones where the brain is not known.
        is_masked: True if the brain is known.
        gain: puts the brain alone on the unit scale of intensity.
        class_means: mean intensity (MOST_CLASSES,) of each class; zeros for a label map.
        slices: by plane, the indices of slices that show enough of the head.
    """

    name: str
    spacing: float
    images: NDArray[np.uint8] | None
    classes: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    is_masked: bool
    gain: float
    class_means: NDArray[np.float32]
    slices: dict[str, NDArray[np.int64]]


def read_scans(subjects: Sequence[Subject], options: DataOptions, *, cache: Path, notes: Notes) -> list[TrainingScan]:
    """Read scans of the target modality, or take them from a cache.

    Args:
        subjects: files to read.
        options: how they are read.
        cache: folder of scans that were read before; it is made.
        notes: new ones are added.

    Raises:
        UserError: a file cannot be used.
    """
    key = {"levels": options.tissue_levels, "n4": options.correct_bias, **_sizes(options)}
    reads = [_Read(one.name, one.files, partial(_read_scan, one, options, notes)) for one in subjects]
    return _cached(reads, key, cache, options.planes)


def read_label_maps(paths: Sequence[Path], options: DataOptions, *, cache: Path) -> list[TrainingScan]:
    """Read label maps of whole heads, or take them from a cache.

    Raises:
        UserError: a file cannot be used.
    """
    reads = [_Read(stem(path), [path], partial(_read_labels, path, options)) for path in paths]
    return _cached(reads, _sizes(options), cache, options.planes)


class _Read(NamedTuple):
    """Scan to read: its name, its files, and the function that reads it."""

    name: str
    files: list[Path]
    read: Callable[[], TrainingScan]


def _sizes(options: DataOptions) -> dict[str, Any]:
    return {"reading": _READING, "finest": options.finest_pixel_size, "largest": options.pixel_size}


def _cached(reads: list[_Read], key: dict[str, Any], cache: Path, planes: Sequence[str]) -> list[TrainingScan]:
    cache.mkdir(parents=True, exist_ok=True)
    scans = []
    for name, files, read in tqdm(reads, desc="Reading", unit="subject", disable=None):
        path = cache / f"{name}-{_digest(files, key)}.npz"
        scan = _load(path, name)
        if scan is None:
            scan = read()
            _save(scan, path)
        scans.append(_in_planes(scan, planes))
    return scans


def _in_planes(scan: TrainingScan, planes: Sequence[str]) -> TrainingScan:
    """Keep the slices of these planes that show enough of the head."""
    slices = {plane: scan.slices[plane] for plane in planes if len(scan.slices[plane])}
    if not slices:
        raise UserError(f"{scan.name} shows too little of a head; give whole scans of heads.")
    return dataclasses.replace(scan, slices=slices)


def _digest(files: Sequence[Path], key: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _save(scan: TrainingScan, path: Path) -> None:
    arrays: dict[str, Any] = {f"slices {plane}": indices for plane, indices in scan.slices.items()}
    if scan.images is not None:
        arrays["images"] = scan.images
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            spacing=scan.spacing,
            classes=scan.classes,
            brain=np.packbits(scan.brain),
            is_masked=scan.is_masked,
            gain=scan.gain,
            class_means=scan.class_means,
            **arrays,
        )


def _load(path: Path, name: str) -> TrainingScan | None:
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path) as found:
        classes = found["classes"]
        return TrainingScan(
            name=name,
            spacing=float(found["spacing"]),
            images=found.get("images"),
            classes=classes,
            brain=np.unpackbits(found["brain"], count=classes.size).reshape(classes.shape),
            is_masked=bool(found["is_masked"]),
            gain=float(found["gain"]),
            class_means=found["class_means"],
            slices={plane: found[f"slices {plane}"] for plane in PLANES},
        )
    return None


def _read_scan(subject: Subject, options: DataOptions, notes: Notes) -> TrainingScan:
    scan = read_scan(subject, options, notes)
    sizes = voxel_sizes(scan.affine)
    spacing = _spacing(sizes, options)
    images, head = (_isotropic(each, sizes, spacing, "trilinear") for each in (scan.images, scan.head))
    classes = _isotropic(scan.classes, sizes, spacing, "nearest-exact").astype(np.uint8)
    brain = np.ones_like(classes)
    if scan.brain is not None:
        brain = (_isotropic(scan.brain, sizes, spacing, "trilinear") >= 0.5).astype(np.uint8)
    box = _box(head >= 0.5)
    alone = (images * brain)[box]
    return TrainingScan(
        name=subject.name,
        spacing=spacing,
        images=np.round(images[box] * 255).astype(np.uint8),
        classes=classes[box],
        brain=brain[box],
        is_masked=scan.brain is not None,
        gain=0.5 / head_median(alone) if scan.brain is not None else 1.0,
        class_means=scan.class_means,
        slices=_slices_of(head[box]),
    )


def _read_labels(path: Path, options: DataOptions) -> TrainingScan:
    volume = read_label_volume(path)
    sizes = voxel_sizes(volume.affine)
    spacing = _spacing(sizes, options)
    turned = apply_orientation(volume.array, io_orientation(volume.affine))
    classes = classes_of_labels(_isotropic(turned, sizes, spacing, "nearest-exact").round().astype(np.int64), path)
    head = classes != AIR
    box = _box(head)
    return TrainingScan(
        name=stem(path),
        spacing=spacing,
        images=None,
        classes=classes[box],
        brain=brain_of_classes(classes, spacing=spacing)[box].astype(np.uint8),
        is_masked=True,
        gain=1.0,
        class_means=np.zeros(MOST_CLASSES, np.float32),
        slices=_slices_of(head[box].astype(np.float32)),
    )


def _spacing(sizes: NDArray[np.float64], options: DataOptions) -> float:
    """Return the spacing of a scan's grid: the finest pixel size if its voxels are as fine, else the largest."""
    return options.finest_pixel_size if sizes.max() <= _FINE * options.finest_pixel_size else options.pixel_size


def _isotropic(array: NDArray[Any], sizes: NDArray[np.float64], spacing: float, mode: str) -> NDArray[np.float32]:
    """Resample an array with voxels of some sizes to isotropic ones."""
    volume = np.ascontiguousarray(array, np.float32)
    shape = [max(1, round(count * size / spacing)) for count, size in zip(array.shape, sizes, strict=True)]
    if list(array.shape) == shape:
        return volume
    resampled = functional.interpolate(
        torch.from_numpy(volume)[None, None],
        size=shape,
        mode=mode,
        align_corners=False if mode == "trilinear" else None,
    )
    return resampled[0, 0].numpy()


def _box(head: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the box around a mask with a margin: more air costs time and teaches little."""
    ends = [np.flatnonzero(head.any(tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    return tuple(slice(max(0, int(first) - _MARGIN), int(last) + 1 + _MARGIN) for first, last in ends)


def _slices_of(head: NDArray[np.float32]) -> dict[str, NDArray[np.int64]]:
    return {
        plane: np.flatnonzero(head.mean(axis=(rows, columns)) >= LEAST_HEAD_SHARE)
        for plane, (rows, columns, _) in PLANES.items()
    }
