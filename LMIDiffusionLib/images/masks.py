"""Brain masks and label maps, brought to the grid of the scan they belong to."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import ScanWarning, UserError
from .normalization import head_mask, to_unit_scale
from .volume import Volume, read_any_volume

# A label map stored with a scale factor reads 2 as 1.99.
_LABEL_TOLERANCE = 0.01
# Grids of one size whose middles lie farther apart than this belong to different scans, or a header was lost.
_SAME_PLACE = 5.0  # millimetres
_INSIDE = 0.5
# Shares of the head, of what is not head, and the volume of the largest brains, in millilitres.
_WHOLE_HEAD, _NO_HEAD, _MUCH_AIR, _LARGEST_BRAIN = 0.9, 0.01, 0.5, 2000.0


def read_mask(path: str | Path, reference: Volume) -> NDArray[np.bool_]:
    """Read a brain mask, by nearest neighbour where it lies on another grid than `reference`.

    Values in [0, 1] are probabilities, of which 0.5 and more is inside; whole numbers are labels, of which all but 0
    are. NaN is outside. A mask that does not look like one of a brain gets a `ScanWarning`.

    Raises:
        UserError: as `read_any_volume`, or the mask is empty or lies elsewhere in space.
    """
    path = Path(path)
    mask = read_any_volume(path)
    inside = _inside(_finite(mask), path)
    if not inside.any():
        raise UserError(f"The mask {path} is empty; give one with the brain marked.")
    on_grid = _on_grid(mask.with_array(inside.astype(np.uint8)), reference, path) > 0
    if not on_grid.any():
        raise UserError(f"The mask {path} does not overlap the volume; give one that was drawn on this scan.")
    _question(on_grid, reference, path)
    return on_grid


def read_labels(path: Path, reference: Volume) -> NDArray[np.int64]:
    """Read a label map, 0 outside, by nearest neighbour where it lies on another grid than `reference`.

    Raises:
        UserError: as `read_label_volume`, or the map lies elsewhere in space.
    """
    volume = read_label_volume(path)
    labels = _on_grid(volume, reference, path)
    if volume.array.any() and not labels.any():
        raise UserError(f"{path} has no label on the scan; give a label map that was drawn on this scan.")
    return labels.astype(np.int64)


def read_label_volume(path: Path) -> Volume:
    """Read a label map on its own grid, int64; what is within a hundredth of a whole number is one.

    Raises:
        UserError: as `read_any_volume`, or the map holds other numbers than labels.
    """
    volume = read_any_volume(path)
    values = _finite(volume)
    rounded = values.round()
    if rounded.min() < 0 or np.abs(values - rounded).max() > _LABEL_TOLERANCE:
        raise UserError(f"{path} holds other values than labels 0, 1, 2, ...; give a label map.")
    return volume.with_array(rounded.astype(np.int64))


def _finite(volume: Volume) -> NDArray[np.float64]:
    """Values with 0 where there is none."""
    return np.nan_to_num(volume.array.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _inside(values: NDArray[np.float64], path: Path) -> NDArray[np.bool_]:
    if values.min() >= -_LABEL_TOLERANCE and values.max() <= 1 + _LABEL_TOLERANCE:
        return np.asarray(values >= _INSIDE)
    if np.abs(values - values.round()).max() > _LABEL_TOLERANCE:
        message = f"The mask {path} holds neither probabilities nor labels; all that is not 0 counts as brain."
        warnings.warn(message, ScanWarning, stacklevel=3)
        return np.asarray(values != 0)
    return np.asarray(values.round() != 0)


def _on_grid(volume: Volume, reference: Volume, path: Path) -> NDArray[np.number]:
    """The voxels of a volume that are nearest to those of another one, 0 where it does not reach.

    Raises:
        UserError: they cannot belong together.
    """
    shape = reference.array.shape
    if volume.shares_grid_with(reference):
        return volume.array
    if volume.array.shape == shape and np.linalg.norm(_middle(volume) - _middle(reference)) > _SAME_PLACE:
        raise UserError(f"{path} has the volume's size but lies elsewhere in space; correct its header.")
    to_volume = np.linalg.inv(volume.affine) @ reference.affine
    # A voxel reaches half its size beyond its centre, at the border of a volume too.
    return ndimage.affine_transform(
        volume.array, to_volume[:3, :3], to_volume[:3, 3], output_shape=shape, order=0, mode="grid-constant", cval=0
    )


def _middle(volume: Volume) -> NDArray[np.float64]:
    """Centre of the field of view in millimetres."""
    middle: NDArray[np.float64] = (volume.affine @ [*((n - 1) / 2 for n in volume.array.shape), 1])[:3]
    return middle


def _question(mask: NDArray[np.bool_], reference: Volume, path: Path) -> None:
    """Warn of a mask that is inverted, or all ones, or of the whole head."""
    if reference.array.min() == reference.array.max():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)  # told when the scan itself is scaled
        head = head_mask(to_unit_scale(reference.array))
    of_head, of_air = float(mask[head].mean()), float(mask[~head].mean())
    millilitres = float(mask.sum()) * abs(float(np.linalg.det(reference.affine[:3, :3]))) / 1000
    if of_head < _NO_HEAD:
        problem = "covers none of the head"
    elif of_air > _MUCH_AIR:
        problem = f"covers {of_air:.0%} of the air"
    elif of_head > _WHOLE_HEAD and millilitres > _LARGEST_BRAIN:
        problem = f"covers {of_head:.0%} of the head"
    else:
        return
    warnings.warn(f"The mask {path} {problem}; is it one of the brain?", ScanWarning, stacklevel=3)
