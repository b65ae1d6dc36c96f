"""PNG pictures of volumes, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .files import atomic_path
from .volume import Volume

Colors = NDArray[np.float32]
"""(..., 3) red, green and blue in [0, 1]."""
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PIXELS_PER_MILLIMETER = 1.6
_TITLE_HEIGHT = 24
_MARGIN = 4
_FONT_SIZE, _LEAST_FONT_SIZE = 15, 8
CLASS_COLORS = np.array([[0.33, 0.74, 1.0], [0.95, 0.55, 0.25], [0.98, 0.95, 0.6], [0.55, 0.85, 0.45], [0.8, 0.5, 0.9]])
"""For telling classes apart; class 1 of an unmasked segmentation is mostly air and stays clear."""
_OVERLAY_OPACITY = 0.45


@dataclass(frozen=True)
class Column:
    """One column of a picture: a title and colors (I, J, K, 3) on the shared grid."""

    title: str
    colors: Colors


def save_picture(path: Path, values: NDArray[np.number]) -> None:
    """Write gray values (H, W) or colors (H, W, 3) in [0, 1] as a PNG file."""
    pixels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    save_image(path, Image.fromarray(pixels))


def gray(values: NDArray[np.number]) -> Colors:
    """Color intensities in [0, 1] in gray."""
    return np.repeat(np.clip(values, 0, 1)[..., None], 3, axis=-1).astype(np.float32)


def overlay(values: NDArray[np.number], labels: NDArray[np.integer], *, first_label: int = 1) -> Colors:
    """Draw labels from `first_label` on in color over intensities in [0, 1]."""
    opacity = np.where(labels >= first_label, _OVERLAY_OPACITY, 0)[..., None]
    colors = CLASS_COLORS[np.maximum(labels.astype(int) - first_label, 0)]
    return ((1 - opacity) * gray(values) + opacity * colors).astype(np.float32)


def save_planes(path: Path, reference: Volume, columns: list[Column]) -> None:
    """Draw the columns side by side in three planes through the middle of the head.

    Axial, coronal and sagittal from top to bottom, at true proportions; the patient's right is on the left.

    Args:
        path: PNG file to write.
        reference: volume whose grid the columns share, and whose brightest part is the head.
        columns: titles and colors.
    """
    center = head_center(reference)
    images = [[_view(reference, column.colors, axis, center) for column in columns] for axis in (2, 1, 0)]
    sheet = compose(images, titles=[column.title for column in columns])
    save_image(path, ImageOps.expand(sheet, (_MARGIN, 0, _MARGIN, _MARGIN)))


def compose(
    rows: Sequence[Sequence[Image.Image]],
    *,
    titles: Sequence[str] = (),
    names: Sequence[str] = (),
    gap: int = _MARGIN,
) -> Image.Image:
    """Lay pictures out in a grid, each in the middle of its cell.

    Args:
        rows: pictures, as many in each row; all columns are as wide as the widest picture, each row as its highest.
        titles: of the columns, above them; none for no titles.
        names: of the rows, to their left; none for no names.
        gap: between pictures, in pixels.
    """
    width = max(picture.width for row in rows for picture in row)
    heights = [max(picture.height for picture in row) for row in rows]
    left = max((int(_font(_FONT_SIZE).getlength(name)) + 2 * _MARGIN for name in names), default=0)
    top = _TITLE_HEIGHT if titles else 0
    columns = len(rows[0])
    size = (left + columns * (width + gap) - gap, top + sum(heights) + (len(rows) - 1) * gap)
    sheet = Image.new("RGB", size)
    pen, font = ImageDraw.Draw(sheet), _fitting_font(titles, width)
    for column, title in enumerate(titles):
        pen.text((left + column * (width + gap) + width / 2, top / 2), title, fill="white", font=font, anchor="mm")
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        for name in names[number : number + 1]:
            pen.text((_MARGIN, top + height / 2), name, fill="white", font=_font(_FONT_SIZE), anchor="lm")
        for column, picture in enumerate(row):
            middle = ((width - picture.width) // 2, (height - picture.height) // 2)
            sheet.paste(picture, (left + column * (width + gap) + middle[0], top + middle[1]))
        top += height + gap
    return sheet


def _fitting_font(titles: Sequence[str], width: int) -> _Font:
    """Return the largest font in which no title is wider than its column."""
    sizes = range(_FONT_SIZE, _LEAST_FONT_SIZE, -1)
    fitting = (size for size in sizes if all(_font(size).getlength(title) <= width for title in titles))
    return _font(next(fitting, _LEAST_FONT_SIZE))


def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def to_picture(values: NDArray[np.number], size: tuple[int, int]) -> Image.Image:
    """Resample gray values (H, W) or colors (H, W, 3) in [0, 1] to a picture of a width and a height."""
    pixels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BICUBIC)


def save_image(path: Path, picture: Image.Image) -> None:
    """Write a picture under a temporary name first, in the format of the path's ending."""
    with atomic_path(path) as temporary:
        picture.save(temporary)


def head_center(volume: Volume) -> tuple[int, int, int]:
    """Return the center of mass in canonical voxel indices."""
    weights = nib.as_closest_canonical(nib.Nifti1Image(volume.array.astype(np.float32), volume.affine)).get_fdata()
    weights = np.clip(weights - weights.min(), 0, np.percentile(weights, 99) - weights.min())
    axes = [np.average(np.arange(n), weights=weights.sum(_others(axis))) for axis, n in enumerate(weights.shape)]
    return round(axes[0]), round(axes[1]), round(axes[2])


def _others(axis: int) -> tuple[int, int]:
    first, second = (each for each in range(3) if each != axis)
    return first, second


def _view(reference: Volume, colors: Colors, axis: int, center: tuple[int, int, int]) -> Image.Image:
    upright, spacing = plane(colors, reference.affine, axis, center[axis])
    across, up = (each * _PIXELS_PER_MILLIMETER for each in spacing)
    return to_picture(upright, (round(upright.shape[1] * across), round(upright.shape[0] * up)))


def plane(
    array: NDArray[Any], affine: NDArray[np.float64], axis: int, index: int
) -> tuple[NDArray[Any], tuple[float, float]]:
    """Return one plane of an array (I, J, K, ...) as a picture: superior (or anterior) at the top, right on the left.

    Returns:
        Pixels (rows, columns, ...) and their width and height in millimeters.
    """
    to_canonical = io_orientation(affine)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    spacing = sizes[np.argsort(to_canonical[:, 0])]
    flat = apply_orientation(array, to_canonical).take(index, axis)
    across, up = _others(axis)
    return np.ascontiguousarray(flat.swapaxes(0, 1)[::-1, ::-1]), (float(spacing[across]), float(spacing[up]))
