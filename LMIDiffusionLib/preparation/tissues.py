"""Mean intensities of cerebrospinal fluid, gray and white matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

TISSUE_SUFFIX = "tissue"
"""End of the name of a tissue map: 1 for cerebrospinal fluid, 2 for gray matter, 3 for white matter, 0 elsewhere."""


def tissue_means(tissues: NDArray[np.uint8], image: NDArray[np.floating]) -> list[float]:
    """Return the mean T1w intensity of fluid, gray and white matter.

    Raises:
        UserError: the means do not rise in this order, so that the labels cannot belong to this image.
    """
    if not {1, 2, 3} <= set(np.unique(tissues).tolist()):
        raise UserError("its labels lack a tissue")
    means = [float(image[tissues == tissue].mean()) for tissue in (1, 2, 3)]
    if sorted(means) != means:
        raise UserError("its labels do not fit the scan: fluid, gray and white matter do not brighten in this order")
    return means
