"""PNG pictures of volumes, for people to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .volume import atomic_path


def save_picture(path: Path, values: NDArray[np.floating]) -> None:
    """Write grey values (H, W) or colours (H, W, 3) in [0, 1] as a PNG file."""
    pixels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary)
