"""The label map of a translation: which classes or tissues a checkpoint tells apart, and how much there is of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..images.volume import Volume
from ..interface.events import ClassVolume
from ..model.checkpoint import Checkpoint
from ..segmentation.classes import Segmentation, segment_classes, segment_tissues


def check_classes(checkpoint: Checkpoint, *, clusters: int | None, brain_from: str | None) -> None:
    """Make sure that a checkpoint knows the tissues of a brain, or else that many classes.

    Args:
        checkpoint: of the translation.
        clusters: K-Means classes; None for the most that the checkpoint knows.
        brain_from: option that brings in a brain mask, for the message; None if there is no mask.

    Raises:
        UserError: it does not.
    """
    if brain_from is None:
        checkpoint.centres(clusters)
    elif checkpoint.tissue_centres is None:
        raise UserError(f"This checkpoint knows no tissues, or not which is which; leave out {brain_from}.")


def segment(
    volume: Volume, checkpoint: Checkpoint, *, clusters: int | None, brain: NDArray[np.bool_] | None
) -> Segmentation:
    """Tissues of a translation inside a brain mask, or its K-Means classes if there is none."""
    if brain is None:
        return segment_classes(volume.array, checkpoint.centres(clusters))
    assert checkpoint.tissue_centres is not None
    return segment_tissues(volume.array, checkpoint.tissue_centres, brain)


def class_volumes(segmentation: Segmentation, volume: Volume) -> tuple[ClassVolume, ...]:
    """The volume of each class, on the grid of a volume."""
    voxel = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    counts = np.bincount(segmentation.labels.ravel(), minlength=len(segmentation.names) + 1)
    return tuple(
        ClassVolume(label, name, round(float(counts[label]) * voxel, 3))
        for label, name in enumerate(segmentation.names, 1)
    )
