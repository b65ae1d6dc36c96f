"""Cerebrospinal fluid, grey and white matter from the anatomical labels of DLMUSE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

TISSUE_SUFFIX = "tissue"
"""NAME_tissue.nii.gz holds 1 for cerebrospinal fluid, 2 for grey matter, 3 for white matter, 0 elsewhere."""

# ROI indices of DLMUSE (the MUSE atlas); every other one above 0 is grey matter.
_FLUID = (1, 4, 11, 46, 49, 50, 51, 52)
_WHITE_MATTER = (35, 40, 41, 61, 62, 69, *range(81, 96))


def tissues_of_dlmuse(labels: NDArray[np.number]) -> NDArray[np.uint8]:
    """1 fluid, 2 grey, 3 white, 0 elsewhere, for ROI indices of any shape."""
    tissues = np.where(labels > 0, 2, 0)
    tissues[np.isin(labels, _FLUID)] = 1
    tissues[np.isin(labels, _WHITE_MATTER)] = 3
    return tissues.astype(np.uint8)


def tissue_means(tissues: NDArray[np.uint8], image: NDArray[np.floating]) -> list[float]:
    """Mean T1w intensity of fluid, grey and white matter.

    Raises:
        UserError: they do not rise in this order, so the labels are none of this image.
    """
    if not {1, 2, 3} <= set(np.unique(tissues).tolist()):
        raise UserError("its labels lack a tissue")
    means = [float(image[tissues == tissue].mean()) for tissue in (1, 2, 3)]
    if sorted(means) != means:
        raise UserError("its labels do not fit the scan: fluid, grey and white matter do not brighten in this order")
    return means
