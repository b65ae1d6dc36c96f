"""A brain mask found in a T1w-like volume by deepbet, an optional package with its weights in it (MIT licence)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import UserError
from ..images.volume import Volume

SMALLEST, LARGEST = 500.0, 2500.0
"""Volumes in millilitres between which a brain, with its CSF, is believed."""


def check_brain_finder() -> None:
    """Make sure that deepbet is there, before minutes are spent.

    Raises:
        UserError: it is not installed.
    """
    try:
        import deepbet  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"Finding the brain needs the package {error.name}; run: pip install deepbet, or give --mask."
        ) from error


def find_brain(volume: Volume) -> NDArray[np.bool_]:
    """Brain with its CSF, a mask of the volume's shape: one connected piece without holes.

    Args:
        volume: of T1w contrast, measured or translated, of a whole head or brain.

    Raises:
        UserError: nothing of the size of a brain was found.
    """
    import nibabel as nib
    from deepbet import BrainExtraction

    image = nib.Nifti1Image(volume.array.astype(np.float32, copy=False), volume.affine)
    try:
        _, mask, _ = BrainExtraction(no_gpu=True).run(image)
    except (AssertionError, ValueError) as error:  # it finds nothing at all
        raise UserError(_refusal(0.0)) from error
    brain = largest_piece(np.asarray(mask.dataobj) > 0)
    millilitres = float(brain.sum()) * abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    if not SMALLEST <= millilitres <= LARGEST:
        raise UserError(_refusal(millilitres))
    return brain


def largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece of a mask, its holes filled; nothing of an empty one."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == 1 + int(sizes.argmax()))
    return filled


def _refusal(millilitres: float) -> str:
    return (
        f"No brain was found: what was found measures {millilitres:.0f} ml, and a brain {SMALLEST:.0f} to"
        f" {LARGEST:.0f} ml. Give a brain mask, or do without tissues."
    )
