"""Volumes: array and affine, read from files of many formats and written to them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import ScanWarning, UserError
from .background import with_zero_background
from .dicom_series import Series
from .files import ITK_ENDINGS, MGH_ENDINGS, atomic_path
from .formats import read_image
from .itk import write_itk
from .normalization import head_mask

_GRID_TOLERANCE = 0.01  # millimetres
# Share of the head that may be lost to NaN or infinite voxels.
_MOST_LOST = 0.01
_GEOMETRY_FIELDS = [
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
]


@dataclass(frozen=True)
class Volume:
    """A scalar image in space.

    Attributes:
        array: (I, J, K) voxels, any real dtype, finite.
        affine: (4, 4) matrix from voxel indices to millimetres, right-anterior-superior.
        header: the NIfTI header it was read with, whose geometry is written back unchanged.
    """

    array: NDArray[np.number]
    affine: NDArray[np.float64]
    header: nib.Nifti1Header | None = None

    def with_array(self, array: NDArray[np.number]) -> Volume:
        """Another image on the same grid."""
        return Volume(array, self.affine, self.header)

    def shares_grid_with(self, other: Volume) -> bool:
        """Whether both have as many voxels in the same places, to a hundredth of a millimetre."""
        return self.array.shape == other.array.shape and np.allclose(self.affine, other.affine, atol=_GRID_TOLERANCE)


def read_volume(path: str | Path | Series) -> Volume:
    """Read a scan: NIfTI, Analyze, NRRD, MetaImage, MGH, or a DICOM series.

    NaN and infinite voxels count as air, with a `ScanWarning`.

    Args:
        path: a file, whatever its name; a folder of DICOM files; one of several series in it.

    Raises:
        UserError: the file is missing, unreadable, of no known format, truncated, not scalar, not 3-D, constant, lacks
            a part of the head, or has no usable affine; or the folder holds several series, or one with gaps.
    """
    path = path if isinstance(path, Series) else Path(path)
    volume = read_any_volume(path)
    finite = np.isfinite(volume.array)
    if not finite.all():
        volume = volume.with_array(_without_gaps(volume.array, finite, path))
    if volume.array.min() == volume.array.max():
        raise UserError(f"{path} has the same value in every voxel; give a volume with an image in it.")
    return volume


def read_any_volume(path: Path | Series) -> Volume:
    """`read_volume` of a mask or a label map too: voxels may all be the same, NaN and infinite."""
    array, affine, header = read_image(path)
    volume = Volume(_as_three_dimensional(array, path), affine, header)
    if not _is_invertible(volume.affine):
        raise UserError(f"{path} has no valid position in space (its affine is singular); repair its header.")
    return volume


def _as_three_dimensional(array: NDArray[np.number], path: Path | Series) -> NDArray[np.number]:
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise UserError(f"{path} has {array.ndim} dimensions {array.shape}; give one 3-D volume of it.")
    return array


def _is_invertible(affine: NDArray[np.float64]) -> bool:
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        return False
    return bool(np.isfinite(io_orientation(affine)).all())  # NaN where an axis is lost beside far longer ones


def _without_gaps(array: NDArray[np.number], finite: NDArray[np.bool_], path: Path | Series) -> NDArray[np.number]:
    """The array with air instead of what is not finite.

    Raises:
        UserError: that is more than a little of the head.
    """
    if not finite.any():
        raise UserError(f"{path} holds nothing but NaN or infinite voxels; give a volume with an image in it.")
    if array[finite].min() == array[finite].max():
        raise UserError(f"{path} has the same value in every voxel that has one; give a volume with an image in it.")
    air = min(0, array[finite].min())
    filled = np.where(finite, array, air).astype(array.dtype)
    lost = _share_of_head(filled.astype(np.float64), ~finite)
    if lost > _MOST_LOST:
        raise UserError(f"{path} has NaN or infinite voxels in {lost:.0%} of the head; give a complete scan.")
    count = int((~finite).sum())
    warnings.warn(f"{path} has {count} NaN or infinite voxels, which count as air.", ScanWarning, stacklevel=3)
    return filled


def _share_of_head(values: NDArray[np.float64], gaps: NDArray[np.bool_]) -> float:
    """Share of the head that gaps take: those that it encloses, and whole planes between planes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)  # told when the volume is scaled
        head = head_mask(with_zero_background(values)) & ~gaps
    enclosed = ndimage.binary_fill_holes(head) & gaps
    for axis in range(3):
        others = tuple(each for each in range(3) if each != axis)
        shown = np.flatnonzero(head.any(others))
        missing = [index for index in np.flatnonzero(gaps.all(others)) if shown[0] < index < shown[-1]]
        shape = np.ones(3, int)
        shape[axis] = -1
        plane = head.any(axis, keepdims=True)
        enclosed |= plane & np.isin(np.arange(values.shape[axis]), missing).reshape(shape)
    return float(enclosed.sum() / max(1, enclosed.sum() + head.sum()))


def write_volume(path: str | Path, volume: Volume) -> None:
    """Write a volume in the format of the path's ending, under a temporary name in the same folder, then renamed."""
    with atomic_path(Path(path)) as temporary:
        save_volume(temporary, volume)


def save_volume(path: Path, volume: Volume) -> None:
    """Write a volume in place: NRRD, MetaImage or MGH, if the path ends so, else NIfTI."""
    if path.name.endswith(ITK_ENDINGS):
        write_itk(path, volume.array, volume.affine)
    elif path.name.endswith(MGH_ENDINGS):
        nib.save(nib.MGHImage(volume.array, volume.affine), path)
    else:
        save_nifti(path, volume)


def save_nifti(path: Path, volume: Volume) -> None:
    """Write a NIfTI file in place, with the geometry of the header that the volume was read with."""
    image_class: Any = nib.Nifti2Image if isinstance(volume.header, nib.Nifti2Header) else nib.Nifti1Image
    image = image_class(volume.array, volume.affine, dtype=volume.array.dtype)  # nibabel asks for a word on int64
    image.header.set_xyzt_units("mm")
    if volume.header is not None:
        for field in _GEOMETRY_FIELDS:
            image.header[field] = volume.header[field]
        image = image_class(volume.array, None, image.header, dtype=volume.array.dtype)
    nib.save(image, path)
