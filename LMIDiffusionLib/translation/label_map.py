"""Label map of a translation by the classes or tissues of a checkpoint, and their volumes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..images.volume import Volume
from ..interface.events import ClassVolume
from ..model.checkpoint import Checkpoint
from ..segmentation.classes import Segmentation, segment_classes, segment_tissues


def check_classes(checkpoint: Checkpoint, *, clusters: int | None, brain_from: str | None) -> None:
    """Check that a checkpoint knows tissues, if there is a brain mask, or else the number of classes.

    Args:
        checkpoint: of the translation.
        clusters: K-Means classes; None for the most that the checkpoint knows.
        brain_from: option that asks for a brain mask, for the message; None if there is no mask.

    Raises:
        UserError: it does not.
    """
    if brain_from is None:
        checkpoint.centers(clusters)
    elif checkpoint.tissue_centers is None:
        raise UserError(f"This checkpoint knows no tissues, or not which is which; leave out {brain_from}.")


def segment(
    volume: Volume, checkpoint: Checkpoint, *, clusters: int | None, brain: NDArray[np.bool_] | None
) -> Segmentation:
    """Label the tissues of a translation inside a brain mask, or its K-Means classes if there is no mask."""
    if brain is None:
        return segment_classes(volume.array, checkpoint.centers(clusters))
    assert checkpoint.tissue_centers is not None
    return segment_tissues(volume.array, checkpoint.tissue_centers, brain)


def class_volumes(segmentation: Segmentation, volume: Volume) -> tuple[ClassVolume, ...]:
    """Measure the volume of each class of a label map on the grid of `volume`."""
    counts = np.bincount(segmentation.labels.ravel(), minlength=len(segmentation.names) + 1)
    return tuple(
        ClassVolume(label, name, round(float(counts[label]) * volume.voxel_volume, 3))
        for label, name in enumerate(segmentation.names, 1)
    )
