"""Image of a scan on the QC page: source, translation and segmentation in three planes each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..images.rendering import CLASS_COLOURS, Colours, grey, head_centre, overlay, plane
from ..images.volume import Volume
from ..segmentation.classes import TISSUES, Segmentation

_SIDE = 144  # pixels of a plane
_GAP, _WIDE_GAP = 2, 12
WIDTH, HEIGHT = 9 * _SIDE + 6 * _GAP + 2 * _WIDE_GAP, _SIDE
"""Size of the image in pixels."""
_QUALITY = 80  # of WebP, 0 to 100


def save_strip(path: Path, source: Volume, translation: Volume, segmentation: Segmentation) -> None:
    """Write nine planes through the middle of the head side by side, axial, coronal and sagittal ones, as WebP.

    Args:
        path: of the image.
        source: in [0, 1].
        translation: in [0, 1], on the same grid.
        segmentation: of the translation.
    """
    center = head_centre(source)
    first_label = _first_label(segmentation.names)
    strip = Image.new("RGB", (WIDTH, HEIGHT))
    for axis, place in zip((2, 1, 0), range(3), strict=True):
        arrays = (source.array, translation.array, segmentation.labels)
        planes = [plane(each, source.affine, axis, center[axis]) for each in arrays]
        (before, after, labels), spacing = [each for each, _ in planes], planes[0][1]
        pictures = (grey(before), grey(after), overlay(after, labels, first_label=first_label))
        for group, colors in enumerate(pictures):
            left = group * (3 * _SIDE + 2 * _GAP + _WIDE_GAP) + place * (_SIDE + _GAP)
            _paste(strip, colors, spacing, left)
    strip.save(path, quality=_QUALITY)


def _first_label(names: tuple[str, ...]) -> int:
    """Return the first label that gets a color: class 1 of a whole head is air."""
    return 1 if names == TISSUES else 2


def color_of(label: int, names: tuple[str, ...]) -> str:
    """Return the CSS color of a label in a label map with these names."""
    number = label - _first_label(names)
    red, green, blue = (CLASS_COLOURS[number] * 255).round().astype(int) if number >= 0 else (0, 0, 0)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _paste(strip: Image.Image, colors: Colours, spacing: tuple[float, float], left: int) -> None:
    """Draw a plane at true proportions, as large as its square allows."""
    height, width = colors.shape[0] * spacing[1], colors.shape[1] * spacing[0]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = (np.clip(colors, 0, 1) * 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    strip.paste(picture, (left + (_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2))
