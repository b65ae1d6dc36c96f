"""Volumes: array and affine, read from NIfTI and written to it."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from .errors import UserError
from .files import atomic_path

_GRID_TOLERANCE = 0.01  # millimetres
# A label map stored with a scale factor reads 2 as 1.99.
_LABEL_TOLERANCE = 0.01
_GEOMETRY_FIELDS = [
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
]

# All that a damaged file has been seen to raise; a damaged header can ask for more memory than there is.
_READ_ERRORS = (
    *(nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, OSError, EOFError, zlib.error),
    *(ValueError, OverflowError, MemoryError),
)


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


def read_volume(path: str | Path) -> Volume:
    """Read a NIfTI file.

    Raises:
        UserError: the file is missing, unreadable, no NIfTI file, truncated, not scalar, not 3-D, not finite, constant,
            or has no usable affine.
    """
    volume = _read_any(Path(path))
    if volume.array.min() == volume.array.max():
        raise UserError(f"{path} has the same value in every voxel; give a volume with an image in it.")
    return volume


def _read_any(path: Path) -> Volume:
    """`read_volume`, but a constant volume will do."""
    if not path.is_file():
        raise UserError(f"{path} does not exist or is no file; give the path of a NIfTI file.")
    try:
        image = nib.load(path)
    except _READ_ERRORS as error:
        raise UserError(f"{path} is no readable NIfTI file ({_first_line(error)}); convert it to .nii.gz.") from error
    if not isinstance(image, nib.Nifti1Image):
        raise UserError(f"{path} is {type(image).__name__}, not NIfTI; convert it to .nii.gz.")
    if image.get_data_dtype().names or image.get_data_dtype().kind not in "iuf":
        raise UserError(f"{path} holds colours or complex numbers; give a scalar grey-value volume.")
    if 0 in image.shape:
        raise UserError(f"{path} has no voxels (size {image.shape}); give a volume with an image in it.")
    try:
        _verify_checksum(path)
        array = np.asanyarray(image.dataobj)
    except _READ_ERRORS as error:
        raise UserError(f"{path} is damaged or truncated ({_first_line(error)}); copy it again.") from error
    volume = Volume(_as_three_dimensional(array, path), np.asarray(image.affine, np.float64), image.header)
    _check_values(volume, path)
    return volume


def _verify_checksum(path: Path) -> None:
    """Decompress to the end, where the checksum is: nibabel stops at the last voxel and takes damage for an image."""
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            while file.read(2**20):
                pass


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def _as_three_dimensional(array: NDArray[np.number], path: Path) -> NDArray[np.number]:
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise UserError(f"{path} has {array.ndim} dimensions {array.shape}; give one 3-D volume of it.")
    return array


def _check_values(volume: Volume, path: Path) -> None:
    array = volume.array
    if not np.isfinite(array).all():
        raise UserError(f"{path} holds NaN or infinite values; replace them, for example by 0.")
    if not _is_invertible(volume.affine):
        raise UserError(f"{path} has no valid position in space (its affine is singular); repair its header.")


def _is_invertible(affine: NDArray[np.float64]) -> bool:
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        return False
    return bool(np.isfinite(io_orientation(affine)).all())  # NaN where an axis is lost beside far longer ones


def read_mask(path: str | Path, reference: Volume) -> NDArray[np.bool_]:
    """Read a mask on the grid of `reference`; every voxel other than 0 is inside.

    Raises:
        UserError: as `read_volume`, but for a mask of ones, or the mask is empty or lies on another grid.
    """
    mask = _read_any(Path(path))
    if not mask.array.any():
        raise UserError(f"The mask {path} is empty; give one with the brain marked.")
    if mask.array.shape != reference.array.shape:
        raise UserError(
            f"The mask {path} has size {mask.array.shape} but the volume {reference.array.shape};"
            " resample it to the volume's grid."
        )
    if not mask.shares_grid_with(reference):
        raise UserError(f"The mask {path} lies elsewhere in space than the volume; resample it to the volume's grid.")
    return np.asarray(mask.array != 0)


def read_labels(path: Path, reference: Volume) -> NDArray[np.int64]:
    """Read a label map on the grid of `reference`, 0 outside.

    Raises:
        UserError: as `read_volume`, or the map lies on another grid or holds other numbers than labels.
    """
    labels = _read_any(path)
    if not labels.shares_grid_with(reference):
        raise UserError(f"{path} lies on another grid than the scan; resample it to the scan's grid.")
    rounded = labels.array.astype(np.float64).round()
    if rounded.min() < 0 or np.abs(labels.array - rounded).max() > _LABEL_TOLERANCE:
        raise UserError(f"{path} holds other values than labels 0, 1, 2, ...; give a label map.")
    return rounded.astype(np.int64)


def write_volume(path: str | Path, volume: Volume) -> None:
    """Write a NIfTI file, first under a temporary name in the same folder, then renamed."""
    with atomic_path(Path(path)) as temporary:
        save_nifti(temporary, volume)


def save_nifti(path: Path, volume: Volume) -> None:
    """Write a NIfTI file in place, with the geometry of the header that the volume was read with."""
    image_class: Any = nib.Nifti2Image if isinstance(volume.header, nib.Nifti2Header) else nib.Nifti1Image
    image = image_class(volume.array, volume.affine, dtype=volume.array.dtype)  # nibabel asks for a word on int64
    if volume.header is not None:
        for field in _GEOMETRY_FIELDS:
            image.header[field] = volume.header[field]
        image = image_class(volume.array, None, image.header, dtype=volume.array.dtype)
    nib.save(image, path)
