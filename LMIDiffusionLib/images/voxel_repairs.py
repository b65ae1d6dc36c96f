"""Repair of voxels without a value, or with a wrong one because a number was too large, where that is safe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import UserError
from ..interface.notices import Notice, NoticeKind, Notices
from .background import zero_background
from .normalization import head_mask

# Share of the head that may be lost to NaN or infinite voxels.
_MOST_LOST = 0.01
# Share of the surface of a block of gaps that lies on the border of the volume, if the block is background.
_BACKGROUND_CONTACT = 1 / 3
_WRAP = 2**16
# A voxel above 32767 that became negative lies among bright ones; the darkest and the brightest that count as such.
_LEAST_WRAPPED, _LEAST_BRIGHT = -(2**15), 2**14


def without_gaps(
    array: NDArray[np.number], finite: NDArray[np.bool_], place: str
) -> tuple[NDArray[np.number], Notices]:
    """Fill the voxels of a volume (I, J, K) that have no finite value with air.

    Raises:
        UserError: that is more than a little of the head.
    """
    if not finite.any():
        raise UserError("holds nothing but NaN or infinite voxels; give a volume with an image in it.", place=place)
    if array[finite].min() == array[finite].max():
        text = "has the same value in every voxel that has one; give a volume with an image in it."
        raise UserError(text, place=place)
    air = min(0, array[finite].min())
    filled = np.where(finite, array, air).astype(array.dtype)
    lost = _share_of_head(filled.astype(np.float64), ~finite)
    if lost > _MOST_LOST:
        raise UserError(f"has NaN or infinite voxels in {lost:.0%} of the head; give a complete scan.", place=place)
    text = f"has {int((~finite).sum())} NaN or infinite voxels, which count as air."
    return filled, (Notice(NoticeKind.GAPS, place, text),)


def _share_of_head(values: NDArray[np.float64], gaps: NDArray[np.bool_]) -> float:
    """Return the share of the head in gaps: enclosed ones, whole planes between others, and blocks amid air."""
    shifted, _ = zero_background(values)
    head = head_mask(shifted) & ~gaps
    lost = ndimage.binary_fill_holes(head) & gaps | _blocks_amid_air(gaps)
    for axis in range(3):
        others = tuple(each for each in range(3) if each != axis)
        shown = np.flatnonzero(head.any(others))
        missing = [index for index in np.flatnonzero(gaps.all(others)) if shown[0] < index < shown[-1]]
        shape = np.ones(3, int)
        shape[axis] = -1
        plane = head.any(axis, keepdims=True)
        lost |= plane & np.isin(np.arange(values.shape[axis]), missing).reshape(shape)
    return float(lost.sum() / max(1, lost.sum() + head.sum()))


def _blocks_amid_air(gaps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find blocks of gaps amid voxels with a value, as of a lost head; background lies along the border."""
    cube = np.ones((3, 3, 3), np.bool_)
    solid = ndimage.binary_dilation(ndimage.binary_erosion(gaps, cube, border_value=1), cube) & gaps
    labels, count = ndimage.label(solid)
    if count == 0:
        return solid
    surface, contact = np.zeros(count + 1), np.zeros(count + 1)
    for axis in range(3):
        moved = np.moveaxis(labels, axis, 0)
        ends = np.concatenate([moved[0].ravel(), moved[-1].ravel()])
        contact += np.bincount(ends, minlength=count + 1)
        for first, second in ((moved[:-1], moved[1:]), (moved[1:], moved[:-1])):
            surface += np.bincount(first[(first > 0) & (second == 0)], minlength=count + 1)
    is_background = contact >= _BACKGROUND_CONTACT * np.maximum(surface + contact, 1)
    is_background[0] = True
    return np.asarray(~is_background[labels])


def without_wraps(array: NDArray[np.number], place: str) -> tuple[NDArray[np.number], Notices]:
    """Restore voxels of a volume (I, J, K) that were above 32767 and were stored as negative numbers of 16 bits."""
    if array.dtype.kind != "i" or array.min() >= 0 or array.max() < _LEAST_BRIGHT or array.min() < _LEAST_WRAPPED:
        return array, ()
    negative = array < 0
    neighbors = ndimage.binary_dilation(negative) & ~negative
    if not neighbors.any() or np.median(array[neighbors]) < _LEAST_BRIGHT:
        return array, ()
    restored = np.where(negative, array.astype(np.int32) + _WRAP, array)
    text = f"has {int(negative.sum())} negative voxels amid the brightest ones, which count as numbers above 32767."
    return restored, (Notice(NoticeKind.WRAPPED, place, text),)
