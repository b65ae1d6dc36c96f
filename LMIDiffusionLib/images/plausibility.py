"""Whether a volume looks like a scan at all: masks, label maps, noise and ramps are given as sources by mistake."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..interface.notices import Notice, NoticeKind, Notices

# Shares and correlations that scans stay far away from: their neighbours are alike, and never the same by the dozen.
_LABEL_SHARE = 0.6
_NOISE_CORRELATION = 0.3
_RAMP_CORRELATION = 0.97


def resembles(array: NDArray[np.number]) -> str | None:
    """What a volume (I, J, K) looks like if it is no scan, as "a label map"; None if it may be one."""
    if array.min() == array.max() or np.isin(array, (array.min(), array.max())).all():
        return "a binary mask"
    if _share_of_equal_neighbours(array) > _LABEL_SHARE:
        return "a label map"
    if _correlation_of_neighbours(array) < _NOISE_CORRELATION:
        return "noise"
    if _correlation_with_a_ramp(array) > _RAMP_CORRELATION:
        return "a ramp"
    return None


def _neighbours(array: NDArray[np.number], axis: int) -> tuple[NDArray[np.number], NDArray[np.number]]:
    """All voxels but the last, and all but the first, along an axis."""
    moved = np.moveaxis(array, axis, 0)
    return moved[:-1], moved[1:]


def check_plausibility(array: NDArray[np.number], place: object) -> Notices:
    """Return a notice about a volume (I, J, K) that does not look like a scan.

    Args:
        array: the volume.
        place: file or name of the volume, for the notice.
    """
    kind = resembles(array)
    text = f"does not look like a scan of a head but like {kind}; the result means little."
    return () if kind is None else (Notice(NoticeKind.PLAUSIBILITY, str(place), text),)


def _share_of_equal_neighbours(array: NDArray[np.number]) -> float:
    """Share of equal values among pairs of neighbours that are both no background."""
    equal = pairs = 0
    background = array.min()
    for axis in range(3):
        first, second = _neighbours(array, axis)
        inside = (first != background) & (second != background)
        equal += int((inside & (first == second)).sum())
        pairs += int(inside.sum())
    return equal / max(1, pairs)


def _correlation_of_neighbours(array: NDArray[np.number]) -> float:
    """The largest of the three axes; a thick slice has little to do with the next one."""
    return max(_correlation(*_neighbours(array, axis)) for axis in range(3))


def _correlation_with_a_ramp(array: NDArray[np.number]) -> float:
    """Of the volume with the linear function of its indices that fits it best."""
    values = array.astype(np.float64) - array.mean(dtype=np.float64)
    fit = np.zeros(array.shape)
    for axis, size in enumerate(array.shape):
        others = tuple(each for each in range(3) if each != axis)
        places = np.arange(size) - (size - 1) / 2
        slope = float((values.mean(others) * places).sum() / max(1.0, float((places**2).sum())))
        shape = np.ones(3, int)
        shape[axis] = size
        fit += slope * places.reshape(shape)
    return _correlation(values, fit)


def _correlation(first: NDArray[np.number], second: NDArray[np.number]) -> float:
    first, second = (each.astype(np.float64).ravel() for each in (first, second))
    if not first.size or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(((first - first.mean()) * (second - second.mean())).mean() / (first.std() * second.std()))
