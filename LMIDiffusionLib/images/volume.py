"""Volumes: array and affine, read from files of many formats and written to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import UserError
from ..interface.notices import Notice, NoticeKind, Notices, warn
from .background import zero_background
from .dicom_series import Series
from .files import ITK_ENDINGS, MGH_ENDINGS, atomic_path
from .formats import StoredImage, read_image, voxels_of
from .itk import not_scalar, write_itk
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

    @property
    def voxel_volume(self) -> float:
        """Size of a voxel in milliliters."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    def to_nibabel(self) -> nib.Nifti1Image:
        """Return a NIfTI image with the geometry of the header that the volume was read with."""
        image_class: Any = nib.Nifti2Image if isinstance(self.header, nib.Nifti2Header) else nib.Nifti1Image
        array = self.array.astype(np.uint8) if self.array.dtype == np.bool_ else self.array
        image = image_class(array, self.affine, dtype=array.dtype)  # nibabel asks for a word on int64
        image.header.set_xyzt_units("mm")
        if self.header is None:
            return image
        for field in _GEOMETRY_FIELDS:
            image.header[field] = self.header[field]
        return image_class(array, image.header.get_best_affine(), image.header, dtype=array.dtype)

    def shares_grid_with(self, other: Volume) -> bool:
        """Whether both have as many voxels in the same places, to a hundredth of a millimetre."""
        return self.array.shape == other.array.shape and np.allclose(self.affine, other.affine, atol=_GRID_TOLERANCE)


VolumeLike = Volume | nib.spatialimages.SpatialImage | Series | str | Path
"""A volume, an image of nibabel, or a file, a folder of DICOM files or one of its series."""


def read_volume(path: str | Path | Series) -> Volume:
    """Read a scan: NIfTI, Analyze, NRRD, MetaImage, MGH, or a DICOM series.

    What is odd about it, such as NaN voxels, which count as air, becomes a `ScanWarning`.

    Args:
        path: a file, whatever its name; a folder of DICOM files; one of several series in it.

    Raises:
        UserError: the file is missing, unreadable, of no known format, truncated, not scalar, not 3-D, constant, lacks
            a part of the head, or has no usable affine; or the folder holds several series, or one with gaps.
    """
    volume, notices = as_scan(path)
    warn(notices)
    return volume


def as_scan(given: VolumeLike) -> tuple[Volume, Notices]:
    """Return a scan with finite voxels, and what is odd about it.

    Raises:
        UserError: as `read_volume`, or a type that is no scan was given.
    """
    volume, notices = as_volume(given)
    place = place_of(given)
    finite = np.isfinite(volume.array)
    if not finite.all():
        volume, gaps = _without_gaps(volume, finite, place)
        notices += gaps
    if volume.array.min() == volume.array.max():
        raise UserError("has the same value in every voxel; give a volume with an image in it.", place=place)
    return volume, notices


def place_of(given: VolumeLike) -> str:
    """The name of a scan in messages."""
    if isinstance(given, nib.spatialimages.SpatialImage):
        return given.get_filename() or "The image"
    return "The volume" if isinstance(given, Volume) else str(given)


def as_volume(given: VolumeLike) -> tuple[Volume, Notices]:
    """Return a volume that may also be a mask or a label map, whose voxels may all be the same, NaN and infinite.

    Raises:
        UserError: it cannot be read, or is no 3-D array of real numbers with a usable affine.
    """
    place = place_of(given)
    if isinstance(given, Volume):
        stored = StoredImage(_real(given.array, place), _matrix(given.affine, place), given.header)
    elif isinstance(given, nib.spatialimages.SpatialImage):
        stored = voxels_of(given, place)
    elif isinstance(given, str | Path | Series):
        stored = read_image(given if isinstance(given, Series) else Path(given))
    else:
        raise UserError(f"{type(given).__name__} is no scan; give a Volume, a path or an image of nibabel.")
    array = stored.array if isinstance(given, Volume) else _without_single_axes(stored.array)
    if array.ndim != 3:
        raise UserError(f"has {array.ndim} dimensions {array.shape}; give one 3-D volume of it.", place=place)
    if not _is_invertible(stored.affine):
        raise UserError("has no valid position in space (its affine is singular); repair its header.", place=place)
    return Volume(array, stored.affine, stored.header), stored.notices


def _real(array: Any, place: str) -> NDArray[np.number]:
    """The voxels of a caller, who may have a list, a tensor or an array of objects."""
    found = np.asarray(array)
    if found.dtype.kind not in "iufb" or found.dtype.itemsize > 8:
        if found.dtype.kind == "c":
            raise not_scalar(place)
        try:
            return found.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise UserError("holds other values than real numbers; give an array of them.", place=place) from error
    return found


def _matrix(affine: Any, place: str) -> NDArray[np.float64]:
    try:
        found = np.asarray(affine, np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (4, 4):
        raise UserError("has no affine of shape (4, 4); give one, from voxel indices to millimeters.", place=place)
    return found


def _without_single_axes(array: NDArray[np.number]) -> NDArray[np.number]:
    """The array of a file without trailing axes of length 1."""
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def _is_invertible(affine: NDArray[np.float64]) -> bool:
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        return False
    return bool(np.isfinite(io_orientation(affine)).all())  # NaN where an axis is lost beside far longer ones


def _without_gaps(volume: Volume, finite: NDArray[np.bool_], place: str) -> tuple[Volume, Notices]:
    """Fill voxels without a finite value with air.

    Raises:
        UserError: that is more than a little of the head.
    """
    array = volume.array
    if not finite.any():
        raise UserError("holds nothing but NaN or infinite voxels; give a volume with an image in it.", place=place)
    if array[finite].min() == array[finite].max():
        raise UserError(
            "has the same value in every voxel that has one; give a volume with an image in it.", place=place
        )
    air = min(0, array[finite].min())
    filled = np.where(finite, array, air).astype(array.dtype)
    lost = _share_of_head(filled.astype(np.float64), ~finite)
    if lost > _MOST_LOST:
        raise UserError(f"has NaN or infinite voxels in {lost:.0%} of the head; give a complete scan.", place=place)
    text = f"has {int((~finite).sum())} NaN or infinite voxels, which count as air."
    return volume.with_array(filled), (Notice(NoticeKind.GAPS, place, text),)


def _share_of_head(values: NDArray[np.float64], gaps: NDArray[np.bool_]) -> float:
    """Share of the head that gaps take: those that it encloses, and whole planes between planes of it."""
    shifted, _ = zero_background(values)
    head = head_mask(shifted) & ~gaps
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


def write_volume(path: str | Path, volume: VolumeLike) -> None:
    """Write a volume in the format of the path's ending, under a temporary name in the same folder, then renamed."""
    with atomic_path(Path(path)) as temporary:
        save_volume(temporary, volume if isinstance(volume, Volume) else as_volume(volume)[0])


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
    nib.save(volume.to_nibabel(), path)
