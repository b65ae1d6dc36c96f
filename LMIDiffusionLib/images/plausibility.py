"""Plausibility of a source: recognition of masks, label maps, noise and ramps, which people translate by mistake."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..interface.notices import Notice, NoticeKind, Notices

# Shares and correlations that scans stay far away from: their neighbors are alike, but rarely equal.
_LABEL_SHARE = 0.6
_NOISE_CORRELATION = 0.3
_RAMP_CORRELATION = 0.97
# Standard deviation of noise as bright as the head, as a share of the range of values; uniform noise has .29.
_BRIGHT_NOISE = 0.15
_FEWEST_PLANES = 4
FEWEST_SLICES = 3
"""Most slices of a localizer, too few to translate a head."""
# Planes of a large volume that are looked at along each axis: a sample of 100,000 voxels says as much as all.
_PLANES = 48


def check_plausibility(array: NDArray[np.number], place: object) -> Notices:
    """Return a notice about a volume (I, J, K) that does not look like a scan.

    Args:
        array: the volume.
        place: file or name of the volume, for the notice.
    """
    kind = resembles(array)
    count = min(array.shape)
    if count <= FEWEST_SLICES:
        slices = "1 slice" if count == 1 else f"{count} slices"
        text = f"has only {slices}, as a localizer has; choose a series with a whole head."
    elif kind is not None:
        text = f"does not look like a scan of a head but like {kind}; the result means little."
    elif has_bright_noise(array):
        text = "has noise about the head that is as bright as the head, as MP2RAGE has; give a scan without that noise."
    else:
        return ()
    return (Notice(NoticeKind.PLAUSIBILITY, str(place), text),)


def has_bright_noise(array: NDArray[np.number]) -> bool:
    """True for a volume (I, J, K) most of whose faces show noise over much of the range of its values.

    Air is dark in other scans, and tissue at a face resembles the next plane.
    """
    low, high = np.percentile(_sample(array), (1, 99))
    faces = [(axis, ends) for axis in range(3) if array.shape[axis] > _FEWEST_PLANES for ends in ((0, 1), (-1, -2))]
    noisy = 0
    for axis, (first, second) in faces:
        face, behind = (np.take(array, index, axis) for index in (first, second))
        spread = float(face.std(dtype=np.float64))
        noisy += bool(spread > _BRIGHT_NOISE * (high - low) and _correlation(face, behind) < _NOISE_CORRELATION)
    return noisy > len(faces) / 2


def resembles(array: NDArray[np.number]) -> str | None:
    """Name what a volume (I, J, K) looks like if it is no scan, such as "a label map"; None if it may be a scan."""
    ends = (array.min(), array.max())
    if np.isin(_sample(array), ends).all() and np.isin(array, ends).all():
        return "a binary mask"
    if _share_of_equal_neighbors(array, background=ends[0]) > _LABEL_SHARE:
        return "a label map"
    if _correlation_of_neighbors(array) < _NOISE_CORRELATION:
        return "noise"
    if _correlation_with_a_ramp(array) > _RAMP_CORRELATION:
        return "a ramp"
    return None


def _planes(size: int) -> NDArray[np.int64]:
    """Choose planes at random, always the same: even steps would only see every other voxel of an enlarged scan."""
    if size <= _PLANES:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, _PLANES, replace=False))


def _sample(array: NDArray[np.number]) -> NDArray[np.number]:
    return array[np.ix_(*map(_planes, array.shape))]


def _neighbors(array: NDArray[np.number], axis: int) -> tuple[NDArray[np.number], NDArray[np.number]]:
    """Return a sample of voxels and their next neighbors along an axis."""
    chosen = [_planes(size - (each == axis)) for each, size in enumerate(array.shape)]
    first = array[np.ix_(*chosen)]
    chosen[axis] = chosen[axis] + 1
    return first, array[np.ix_(*chosen)]


def _share_of_equal_neighbors(array: NDArray[np.number], *, background: float) -> float:
    """Return the share of equal values among pairs of foreground neighbors."""
    equal = pairs = 0
    for axis in range(3):
        first, second = _neighbors(array, axis)
        inside = (first != background) & (second != background)
        equal += int((inside & (first == second)).sum())
        pairs += int(inside.sum())
    return equal / max(1, pairs)


def _correlation_of_neighbors(array: NDArray[np.number]) -> float:
    """Return the largest correlation of neighbors along an axis; thick slices differ much from their neighbors."""
    return max(_correlation(*_neighbors(array, axis)) for axis in range(3))


def _correlation_with_a_ramp(array: NDArray[np.number]) -> float:
    """Return the correlation of the volume with the linear function of its indices that fits it best."""
    values = _sample(array).astype(np.float64)
    values -= values.mean()
    fit = np.zeros(values.shape)
    for axis, size in enumerate(array.shape):
        others = tuple(each for each in range(3) if each != axis)
        planes = _planes(size)
        places = planes - planes.mean()
        slope = float((values.mean(others) * places).sum() / max(1.0, float((places**2).sum())))
        fit += slope * np.expand_dims(places, others)
    return _correlation(values, fit)


def _correlation(first: NDArray[np.number], second: NDArray[np.number]) -> float:
    first, second = (each.astype(np.float64).ravel() for each in (first, second))
    if not first.size or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(((first - first.mean()) * (second - second.mean())).mean() / (first.std() * second.std()))
