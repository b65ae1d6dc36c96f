"""Brain masks and label maps, brought to the grid of the scan they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import UserError
from ..interface.notices import Notice, NoticeKind, Notices, warn
from .normalization import head_mask, unit_scale
from .volume import Volume, VolumeLike, as_volume, place_of

# A label map stored with a scale factor reads 2 as 1.99.
_LABEL_TOLERANCE = 0.01
# Grids of one size whose middles lie farther apart than this belong to different scans, or a header was lost.
_SAME_PLACE = 5.0  # millimeters
_INSIDE = 0.5
# Shares of the head, of what is not head, and the volume of the largest brains, in milliliters.
_WHOLE_HEAD, _NO_HEAD, _MUCH_AIR, _LARGEST_BRAIN = 0.9, 0.01, 0.5, 2000.0


def read_mask(mask: VolumeLike, reference: VolumeLike) -> NDArray[np.bool_]:
    """Return a brain mask like `as_mask`, with a `ScanWarning` for each notice."""
    scan, _ = as_volume(reference)
    inside, notices = as_mask(mask, scan)
    warn(notices)
    return inside


def as_mask(given: VolumeLike, reference: Volume) -> tuple[NDArray[np.bool_], Notices]:
    """Return a brain mask on the grid of `reference`, by nearest neighbor where it lies on another one.

    Values in [0, 1] are probabilities, of which 0.5 and more is inside; whole numbers are labels, of which all but 0
    are. NaN is outside.

    Returns:
        The mask, and notices if it does not look like one of a brain.

    Raises:
        UserError: as `as_volume`, or the mask is empty or lies elsewhere in space.
    """
    mask, notices = as_volume(given)
    place = place_of(given)
    inside, doubtful = _inside(_finite(mask), place)
    if not inside.any():
        raise UserError("is empty; give a mask with the brain marked.", place=place)
    on_grid = _on_grid(mask.with_array(inside.astype(np.uint8)), reference, place) > 0
    if not on_grid.any():
        raise UserError("does not overlap the volume; give a mask that was drawn on this scan.", place=place)
    return on_grid, notices + doubtful + _check(on_grid, reference, place)


def read_labels(path: Path, reference: Volume) -> NDArray[np.int64]:
    """Read a label map, 0 outside, by nearest neighbor where it lies on another grid than `reference`.

    Raises:
        UserError: as `read_label_volume`, or the map lies elsewhere in space.
    """
    volume = read_label_volume(path)
    labels = _on_grid(volume, reference, str(path))
    if volume.array.any() and not labels.any():
        raise UserError("has no label on the scan; give a label map that was drawn on this scan.", place=path)
    return labels.astype(np.int64)


def read_label_volume(path: Path) -> Volume:
    """Read a label map on its own grid, int64; what is within a hundredth of a whole number is one.

    Raises:
        UserError: as `as_volume`, or the map holds other numbers than labels.
    """
    volume, notices = as_volume(path)
    warn(notices)
    values = _finite(volume)
    rounded = values.round()
    if rounded.min() < 0 or np.abs(values - rounded).max() > _LABEL_TOLERANCE:
        raise UserError("holds other values than labels 0, 1, 2, ...; give a label map.", place=path)
    return volume.with_array(rounded.astype(np.int64))


def _finite(volume: Volume) -> NDArray[np.float64]:
    """Set values that are not finite to 0."""
    return np.nan_to_num(volume.array.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _inside(values: NDArray[np.float64], place: str) -> tuple[NDArray[np.bool_], Notices]:
    if values.min() >= -_LABEL_TOLERANCE and values.max() <= 1 + _LABEL_TOLERANCE:
        return np.asarray(values >= _INSIDE), ()
    if np.abs(values - values.round()).max() > _LABEL_TOLERANCE:
        text = "is a mask of neither probabilities nor labels; all that is not 0 counts as brain."
        return np.asarray(values != 0), (Notice(NoticeKind.MASK, place, text),)
    return np.asarray(values.round() != 0), ()


def _on_grid(volume: Volume, reference: Volume, place: str) -> NDArray[np.number]:
    """Resample a volume to another grid by nearest neighbor, 0 outside.

    Raises:
        UserError: they cannot belong together.
    """
    shape = reference.array.shape
    if volume.shares_grid_with(reference):
        return volume.array
    if volume.array.shape == shape and np.linalg.norm(_middle(volume) - _middle(reference)) > _SAME_PLACE:
        raise UserError("has the volume's size but lies elsewhere in space; correct its header.", place=place)
    to_volume = np.linalg.inv(volume.affine) @ reference.affine
    # A voxel reaches half its size beyond its center, at the border of a volume too.
    return ndimage.affine_transform(
        volume.array, to_volume[:3, :3], to_volume[:3, 3], output_shape=shape, order=0, mode="grid-constant", cval=0
    )


def _middle(volume: Volume) -> NDArray[np.float64]:
    """Return the center of the field of view in millimeters."""
    middle: NDArray[np.float64] = (volume.affine @ [*((n - 1) / 2 for n in volume.array.shape), 1])[:3]
    return middle


def _check(mask: NDArray[np.bool_], reference: Volume, place: str) -> Notices:
    """Return a notice about a mask that is inverted, or all ones, or of the whole head."""
    if reference.array.min() == reference.array.max():
        return ()
    scaled, _ = unit_scale(reference.array)
    head = head_mask(scaled)
    of_head, of_air = float(mask[head].mean()), float(mask[~head].mean())
    milliliters = float(mask.sum()) * reference.voxel_volume
    if of_head < _NO_HEAD:
        problem = "covers none of the head"
    elif of_air > _MUCH_AIR:
        problem = f"covers {of_air:.0%} of the air"
    elif of_head > _WHOLE_HEAD and milliliters > _LARGEST_BRAIN:
        problem = f"covers {of_head:.0%} of the head"
    else:
        return ()
    return (Notice(NoticeKind.MASK, place, f"{problem}; is it a mask of the brain?"),)
