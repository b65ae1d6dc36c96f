"""Volumes: array and affine, read from files of many formats and written to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from ..errors import UserError
from ..interface.notices import Notices, warn
from .dicom.series import Series
from .files import ITK_ENDINGS, MGH_ENDINGS, VOLUME_ENDINGS, atomic_path, stem
from .formats.nifti import voxels_of
from .formats.reading import read_image
from .formats.stored_image import StoredImage, not_scalar
from .geometry import has_right_angles
from .itk import write_itk
from .voxel_repairs import without_gaps, without_wraps

_GRID_TOLERANCE = 0.01  # millimeters
# Types of voxels that files hold: NIfTI, NRRD and MetaImage; MGH.
_TYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
_MGH_TYPES = ("uint8", "int16", "uint16", "int32", "float32")
_ENDINGS_OF_RIGHT_ANGLES = (".mha", *MGH_ENDINGS)
_GEOMETRY_FIELDS = [
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
]


@dataclass(frozen=True)
class Volume:
    """A scalar image in space.

    Attributes:
        array: (I, J, K) voxels, any real dtype, finite.
        affine: (4, 4) matrix from voxel indices to millimeters, right-anterior-superior.
        header: the NIfTI header it was read with, whose geometry is written back unchanged.
    """

    array: NDArray[np.number]
    affine: NDArray[np.float64]
    header: nib.Nifti1Header | None = None

    def with_array(self, array: NDArray[np.number]) -> Volume:
        """Return another image on the same grid."""
        return Volume(array, self.affine, self.header)

    @property
    def voxel_volume(self) -> float:
        """Size of a voxel in milliliters."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    def to_nibabel(self) -> nib.Nifti1Image:
        """Return a NIfTI image with the geometry of the header that the volume was read with."""
        image_class: Any = nib.Nifti2Image if isinstance(self.header, nib.Nifti2Header) else nib.Nifti1Image
        array = storable(self.array)
        image = image_class(array, self.affine, dtype=array.dtype)  # nibabel asks for a word on int64
        image.header.set_xyzt_units("mm")
        if self.header is None:
            return image
        for field in _GEOMETRY_FIELDS:
            image.header[field] = self.header[field]
        return image_class(array, image.header.get_best_affine(), image.header, dtype=array.dtype)

    def shares_grid_with(self, other: Volume) -> bool:
        """True if both have as many voxels in the same places, to a hundredth of a millimeter."""
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
    """Return a scan with finite voxels, and notices about it.

    Raises:
        UserError: as `read_volume`, or a type that is no scan was given.
    """
    volume, notices = as_volume(given)
    place = place_of(given)
    unwrapped, wraps = without_wraps(volume.array, place)
    volume, notices = volume.with_array(unwrapped), (*notices, *wraps)
    finite = np.isfinite(volume.array)
    if not finite.all():
        filled, gaps = without_gaps(volume.array, finite, place)
        volume, notices = volume.with_array(filled), (*notices, *gaps)
    if volume.array.min() == volume.array.max():
        raise UserError("has the same value in every voxel; give a volume with an image in it.", place=place)
    return volume, notices


def place_of(given: VolumeLike) -> str:
    """Return the name of a scan in messages."""
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
    elif hasattr(given, "__array__"):
        raise UserError(
            f"{type(given).__name__} has no place in space; make a volume of it: lmi.Volume(array, affine)."
        )
    else:
        raise UserError(f"{type(given).__name__} is no scan; give a Volume, a path or an image of nibabel.")
    array = stored.array if isinstance(given, Volume) else _without_single_axes(stored.array)
    if array.ndim != 3:
        raise UserError(f"has {array.ndim} dimensions {array.shape}; give one 3-D volume of it.", place=place)
    if not _is_invertible(stored.affine):
        raise UserError("has no valid position in space (its affine is singular); repair its header.", place=place)
    return Volume(array, stored.affine, stored.header), stored.notices


def _real(array: Any, place: str) -> NDArray[np.number]:
    """Convert the voxels of a caller, who may give a list, a tensor or an array of objects."""
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
    """Drop trailing axes of length 1."""
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def _is_invertible(affine: NDArray[np.float64]) -> bool:
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        return False
    return bool(np.isfinite(io_orientation(affine)).all())  # NaN where an axis is lost beside far longer ones


def write_volume(path: str | Path, volume: VolumeLike) -> None:
    """Write a volume in the format of the path's ending, under a temporary name in the same folder, then renamed.

    Raises:
        UserError: the path has another ending than those of `VOLUME_ENDINGS`, or one of a format that cannot hold the
            volume's axes, or the volume is no 3-D array of real numbers with a usable affine.
    """
    path = Path(path)
    if not path.name.endswith(VOLUME_ENDINGS):
        raise UserError(f"The output {path} must end in {' or '.join(VOLUME_ENDINGS)}.")
    checked, _ = as_volume(volume)
    check_axes(path, checked)
    with atomic_path(path) as temporary:
        save_volume(temporary, checked)


def check_axes(path: Path, volume: Volume) -> None:
    """Make sure that the format of a file holds the axes of a volume.

    Raises:
        UserError: they are not at right angles, and the format is MetaImage or MGH, which hold direction cosines.
    """
    if path.name.endswith(_ENDINGS_OF_RIGHT_ANGLES) and not has_right_angles(volume.affine):
        text = f"cannot hold axes that are not at right angles, as those of this scan; write {stem(path)}.nii.gz."
        raise UserError(text, place=path)


def save_volume(path: Path, volume: Volume, *, description: str = "") -> None:
    """Write a volume in place: NRRD, MetaImage or MGH, if the path ends so, else NIfTI.

    Args:
        path: of the file.
        volume: the volume.
        description: for the header, at most 79 letters of ASCII; MGH has no place for it.
    """
    if path.name.endswith(ITK_ENDINGS):
        write_itk(path, storable(volume.array), volume.affine, description=description)
    elif path.name.endswith(MGH_ENDINGS):
        nib.save(nib.MGHImage(storable(volume.array, types=_MGH_TYPES), volume.affine), path)
    else:
        save_nifti(path, volume, description=description)


def save_nifti(path: Path, volume: Volume, *, description: str = "") -> None:
    """Write a NIfTI file in place, with the geometry of the header that the volume was read with."""
    image = volume.to_nibabel()
    image.header["descrip"] = description
    nib.save(image, path)


def storable(array: NDArray[np.number], *, types: tuple[str, ...] = _TYPES) -> NDArray[np.number]:
    """Convert voxels to the first of some numpy types that holds all of them, in native byte order.

    Args:
        array: voxels of any real type.
        types: names of numpy types; the last one takes what fits none.
    """
    if array.dtype.name in types:
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    fitting = (each for each in types if np.can_cast(array.dtype, each) or _holds(each, array))
    return array.astype(next(fitting, types[-1]))


def _holds(name: str, array: NDArray[np.number]) -> bool:
    """True for integers within the range of a type of integers."""
    dtype = np.dtype(name)
    if "f" in (dtype.kind, array.dtype.kind) or not array.size:
        return False
    limits = np.iinfo(dtype)
    return bool(limits.min <= array.min() and array.max() <= limits.max)
