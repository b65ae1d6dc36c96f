"""The pixels that a scan is translated on: those of the checkpoint, or what the scan has where it knows several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model.checkpoint import Checkpoint
from .options import TranslationOptions

# Finer pixels take time as more samples do: one sample is for a quick look, more than a few are for the best result.
_FEW_SAMPLES, _MEDIUM = 4, 1.4  # millimeters


def choose_pixel_size(
    affine: NDArray[np.float64], checkpoint: Checkpoint, options: TranslationOptions = TranslationOptions()
) -> float:
    """Return the side of the pixels in millimeters on which a volume is translated.

    A checkpoint of one pixel size has that size. One of several sizes takes the pixels of the scan's own slices within
    its range: its largest for a single sample, none finer than 1.4 mm for up to four samples, its finest for more.

    Args:
        affine: (4, 4) of the volume, voxel indices to millimeters.
        checkpoint: of the translation.
        options: of the translation.
    """
    finest, largest = checkpoint.network.finest_pixel_size, checkpoint.pixel_size
    if finest is None or options.samples == 1:
        return largest
    # The two shortest sides of a voxel lie in the scan's own slices.
    own = float(np.sort(np.linalg.norm(affine[:3, :3], axis=0))[1])
    wanted = _MEDIUM if options.samples <= _FEW_SAMPLES else finest
    return min(largest, max(finest, wanted, own))
