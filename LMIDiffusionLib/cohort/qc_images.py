"""Image of a scan on the QC page: source, translation and segmentation in five planes each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from ..images.rendering import CLASS_COLORS, Colors, compose, gray, overlay, plane, to_picture
from ..images.volume import Volume
from ..segmentation.classes import TISSUES, Segmentation

SIDE, GAP, PLANES = 256, 2, 5
"""Pixels of a plane and between planes, and number of planes."""
_MARGIN = 12.0  # mm around what is segmented
_APART = 22.0  # mm between axial planes, and of the sagittal plane from the middle, where nothing but a fissure lies
NO_COLOR = "#000000"
"""CSS color of the air in a label map of classes."""
_QUALITY = 55  # of WebP, 0 to 100

_Size = tuple[int, int]


def save_strip(path: Path, source: Volume, translation: Volume, segmentation: Segmentation) -> None:
    """Write three axial planes, a coronal and a sagittal one, as WebP.

    The rows are the source with the outline of the segmentation, the translation, and the segmentation on it.

    Args:
        path: of the image.
        source: in [0, 1].
        translation: in [0, 1], on the same grid.
        segmentation: of the translation.
    """
    first_label = _first_label(segmentation.names)
    outlined = [first_label] if segmentation.names != TISSUES else [first_label, len(TISSUES)]
    rows: tuple[list[Image.Image], ...] = ([], [], [])
    arrays = (source.array, translation.array, segmentation.labels)
    for (before, after, labels), size in _planes(arrays, source.affine, first_label=first_label):
        rows[0].append(_square(_outlined(gray(before), labels, size, first_labels=outlined)))
        rows[1].append(_square(to_picture(gray(after), size)))
        rows[2].append(_square(to_picture(overlay(after, labels, first_label=first_label), size)))
    compose(rows, gap=GAP).save(path, quality=_QUALITY)


def _planes(
    arrays: tuple[NDArray[Any], ...], affine: NDArray[np.float64], *, first_label: int
) -> Iterator[tuple[list[NDArray[Any]], _Size]]:
    """Yield planes of all arrays, the last of which has labels, and their size in pixels at true proportions."""
    to_canonical = io_orientation(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[np.argsort(to_canonical[:, 0])]
    upright = [apply_orientation(each, to_canonical) for each in arrays]
    extents = _extents(upright[-1] >= first_label)
    margins = np.ceil(_MARGIN / spacing).astype(int)
    box = tuple(slice(max(0, first - m), last + m + 1) for (first, last), m in zip(extents, margins, strict=True))
    shown = [each[box] for each in upright]
    for axis, index in _cuts(shown[-1] >= first_label, spacing):
        planes = [plane(each, np.diag([*spacing, 1]), axis, index) for each in shown]
        (height, width), (across, up) = planes[0][0].shape[:2], planes[0][1]
        scale = SIDE / max(height * up, width * across)
        yield [each for each, _ in planes], (max(1, round(width * across * scale)), max(1, round(height * up * scale)))


def _cuts(inside: NDArray[np.bool_], spacing: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield axis and index of each plane: axial from the head down, coronal, and sagittal beside the middle."""
    extents = _extents(inside)
    centers = [_center(inside.sum(_others(axis))) for axis in range(3)]
    for axis, offset in ((2, _APART), (2, 0.0), (2, -_APART), (1, 0.0), (0, _APART)):
        yield axis, int(np.clip(round(centers[axis] + offset / spacing[axis]), *extents[axis]))


def _center(counts: NDArray[np.integer]) -> float:
    """Return the center of mass along an axis; the middle where nothing lies inside."""
    return float(np.average(np.arange(counts.size), weights=counts if counts.any() else None))


def _extents(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and last index of what lies inside along each axis; of everything where nothing does."""
    found = [np.flatnonzero(inside.any(_others(axis))) for axis in range(3)]
    whole = [(0, length - 1) for length in inside.shape]
    return [(int(each[0]), int(each[-1])) if each.size else full for each, full in zip(found, whole, strict=True)]


def _others(axis: int) -> tuple[int, int]:
    first, second = (each for each in range(3) if each != axis)
    return first, second


def _outlined(colors: Colors, labels: NDArray[np.integer], size: _Size, *, first_labels: list[int]) -> Image.Image:
    """Draw the outlines of all labels from each of the first ones on."""
    pixels = np.array(to_picture(colors, size))
    scaled = np.asarray(Image.fromarray(labels.astype(np.uint8)).resize(size, Image.Resampling.NEAREST))
    for first_label in first_labels:
        region = scaled >= first_label
        line = region & ~binary_erosion(region, border_value=1)
        pixels[line] = (CLASS_COLORS[first_label - first_labels[0]] * 255).round()
    return Image.fromarray(pixels)


def _first_label(names: tuple[str, ...]) -> int:
    """Return the first label that gets a color: class 1 of a whole head is air."""
    return 1 if names == TISSUES else 2


def color_of(label: int, names: tuple[str, ...]) -> str:
    """Return the CSS color of a label in a label map with these names."""
    number = label - _first_label(names)
    if number < 0:
        return NO_COLOR
    red, green, blue = (CLASS_COLORS[number] * 255).round().astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _square(picture: Image.Image) -> Image.Image:
    """Put a picture in the middle of its square."""
    square = Image.new("RGB", (SIDE, SIDE))
    square.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return square
