"""Brain extraction from a T1w-like volume by deepbet, an optional package that includes its weights (MIT license)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import UserError
from ..images.volume import Volume, VolumeLike, as_scan

SMALLEST, LARGEST = 500.0, 2500.0
"""Plausible volumes of a brain with its CSF, in milliliters."""


def check_brain_finder() -> None:
    """Check that deepbet is installed, before a translation takes minutes.

    Raises:
        UserError: deepbet is not installed.
    """
    try:
        import deepbet  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"Finding the brain needs the package {error.name}; run: pip install deepbet, or give --mask."
        ) from error


def find_brain(scan: VolumeLike) -> NDArray[np.bool_]:
    """Find the brain and its CSF: a mask with the volume's shape, one connected piece without holes.

    Args:
        scan: whole head or brain in T1w contrast, measured or translated.

    Raises:
        UserError: nothing as large as a brain was found.
    """
    from deepbet import BrainExtraction

    volume, _ = as_scan(scan)
    image = Volume(volume.array.astype(np.float32, copy=False), volume.affine).to_nibabel()
    try:
        _, mask, _ = BrainExtraction(no_gpu=True).run(image)
    except (AssertionError, ValueError) as error:  # deepbet found nothing
        raise UserError(_refusal(0.0)) from error
    brain = largest_piece(np.asarray(mask.dataobj) > 0)
    milliliters = float(brain.sum()) * volume.voxel_volume
    if not SMALLEST <= milliliters <= LARGEST:
        raise UserError(_refusal(milliliters))
    return brain


def largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected piece of a mask with its holes filled; an empty mask stays empty."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == 1 + int(sizes.argmax()))
    return filled


def _refusal(milliliters: float) -> str:
    return (
        f"No brain was found: the largest candidate has {milliliters:.0f} ml, a brain has {SMALLEST:.0f} to"
        f" {LARGEST:.0f} ml. Give a brain mask, or leave out the tissues."
    )
