"""Image of a scan on the QC page: source, translation and segmentation in three planes each."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..images.rendering import CLASS_COLORS, Colors, compose, gray, head_center, overlay, plane, to_picture
from ..images.volume import Volume
from ..segmentation.classes import TISSUES, Segmentation

_SIDE = 144  # pixels of a plane
_GAP, _WIDE_GAP = 2, 12
NO_COLOR = "#000000"
"""CSS color of the air in a label map of classes."""
_QUALITY = 80  # of WebP, 0 to 100


def save_strip(path: Path, source: Volume, translation: Volume, segmentation: Segmentation) -> None:
    """Write nine planes through the middle of the head side by side, axial, coronal and sagittal ones, as WebP.

    Args:
        path: of the image.
        source: in [0, 1].
        translation: in [0, 1], on the same grid.
        segmentation: of the translation.
    """
    center = head_center(source)
    first_label = _first_label(segmentation.names)
    views: tuple[list[Image.Image], ...] = ([], [], [])
    for axis in (2, 1, 0):
        arrays = (source.array, translation.array, segmentation.labels)
        planes = [plane(each, source.affine, axis, center[axis]) for each in arrays]
        (before, after, labels), spacing = [each for each, _ in planes], planes[0][1]
        pictures = (gray(before), gray(after), overlay(after, labels, first_label=first_label))
        for view, colors in zip(views, pictures, strict=True):
            view.append(_square(colors, spacing))
    strip = compose([[compose([view], gap=_GAP) for view in views]], gap=_WIDE_GAP)
    strip.save(path, quality=_QUALITY)


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


def _square(colors: Colors, spacing: tuple[float, float]) -> Image.Image:
    """Draw a plane at true proportions, as large as its square allows."""
    height, width = colors.shape[0] * spacing[1], colors.shape[1] * spacing[0]
    scale = _SIDE / max(height, width)
    picture = to_picture(colors, (max(1, round(width * scale)), max(1, round(height * scale))))
    square = Image.new("RGB", (_SIDE, _SIDE))
    square.paste(picture, ((_SIDE - picture.width) // 2, (_SIDE - picture.height) // 2))
    return square
