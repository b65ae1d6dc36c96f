"""Image files opened by what they hold, not by their names: which format it is, and the ones that nibabel reads.

NIfTI and Analyze, in one file or two, and FreeSurfer's MGH, each packed or not; NRRD and MetaImage; DICOM series.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.fileholders import FileHolder
from numpy.typing import NDArray

from ..errors import UserError
from ..interface.notices import Notice, NoticeKind, Notices
from .dicom_headers import is_dicom
from .dicom_series import Series, read_series
from .files import is_file
from .itk import METAIMAGE, NRRD, not_scalar, read_itk

_GZIP = b"\x1f\x8b"
_MOST_COMPRESSIONS = 3
_NIFTI1, _NIFTI1_PAIR = (b"n+1\0", b"ni1\0")
_NIFTI2, _NIFTI2_PAIR = (b"n+2\0", b"ni2\0")
_ANALYZE_SIZE = 348
_MGH_VERSION, _MGH_TYPES = b"\0\0\0\1", (0, 1, 3, 4)
_NRRD_MARK = b"NRRD000"
_METAIMAGE_MARK = re.compile(rb"\s*(Comment|ObjectType|ObjectSubType|NDims)\s*=")
_UNIT_BITS, _METRE, _MICRON = 7, 1, 3  # of NIfTI's xyzt_units
# Smallest and largest extent, in millimetres, of something that may be a head.
_PLAUSIBLE = (15.0, 3000.0)

# All that a damaged file has been seen to raise; a damaged header can ask for more memory than there is.
_READ_ERRORS = (
    *(nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, OSError, EOFError, zlib.error),
    *(ValueError, OverflowError, MemoryError),
)


class StoredImage(NamedTuple):
    """The content of an image file.

    Attributes:
        array: voxels, of any number of dimensions.
        affine: (4, 4) to millimetres, right-anterior-superior.
        header: of a NIfTI file.
        notices: about the file.
    """

    array: NDArray[np.number]
    affine: NDArray[np.float64]
    header: nib.Nifti1Header | None = None
    notices: Notices = ()


def read_image(source: Path | Series) -> StoredImage:
    """Read the voxels of an image and where they lie.

    Args:
        source: a file, a folder of DICOM files, or one of several series in it.

    Raises:
        UserError: it is missing, unreadable, of no known format, truncated, without voxels or not scalar.
    """
    if isinstance(source, Series) or source.is_dir():
        return StoredImage(*read_series(source))
    if not is_file(source):
        raise UserError("does not exist or is no file; give the path of a scan.", place=source)
    with _without_remarks(), np.errstate(all="ignore"):
        stored = _stored(source)
        reader_name = _itk_reader(stored)
        if reader_name is not None:
            return _read_by_itk(source, stored, reader_name)
        if is_dicom(stored):
            return StoredImage(*read_series(source))
        return _read_by_nibabel(source, stored)


def _stored(path: Path) -> bytes:
    """What a file holds, unpacked."""
    try:
        return _unpacked(path.read_bytes())
    except (EOFError, zlib.error) as error:
        raise _damage(path, error) from error
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "it is larger than the memory"
        raise UserError(f"cannot be read ({reason}); check its permissions and the disk.", place=path) from error


def _itk_reader(data: bytes) -> str | None:
    if data.startswith(_NRRD_MARK):
        return NRRD
    return METAIMAGE if _METAIMAGE_MARK.match(data) else None


def _read_by_itk(path: Path, data: bytes, reader_name: str) -> StoredImage:
    def read(file: Path) -> StoredImage:
        array, affine, notices = read_itk(file, reader_name, known_as=path)
        return StoredImage(array, affine, None, notices)

    if not _is_compressed(path):
        return read(path)
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / path.name
        unpacked.write_bytes(data)
        return read(unpacked)


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def _read_by_nibabel(path: Path, data: bytes) -> StoredImage:
    try:
        image = _open(path, data)
    except (EOFError, zlib.error) as error:
        raise _damage(path, error) from error
    except _READ_ERRORS as error:
        raise UserError(f"is no readable scan ({_first_line(error)}); convert it to .nii.gz.", place=path) from error
    if isinstance(image, nib.Nifti1Image | nib.MGHImage):
        _check_size(image, len(data), path)
    return voxels_of(image, path)


def voxels_of(image: nib.spatialimages.SpatialImage, place: Path | str) -> StoredImage:
    """Load the voxels of an image of nibabel, which `place` names in messages.

    Raises:
        UserError: it is damaged, without voxels or not scalar.
    """
    _check_kind(image, place)
    try:
        array = np.asanyarray(image.dataobj)
    except _READ_ERRORS as error:
        raise _damage(place, error) from error
    header = image.header if isinstance(image.header, nib.Nifti1Header) else None
    return StoredImage(array, _in_millimetres(image), header, _orientation_notices(image, place))


def _damage(path: Path | str, error: BaseException) -> UserError:
    return UserError(f"is damaged or truncated ({_first_line(error)}); copy it again.", place=path)


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Keep nibabel's remarks on headers, which it repairs, from the user."""
    logger = nib.imageglobals.logger
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _open(path: Path, data: bytes) -> Any:
    """An image whose voxels have not been read yet."""
    ending = path.name.lower().removesuffix(".gz")[-4:]
    if data[344:348] == _NIFTI1:
        return nib.Nifti1Image.from_bytes(_with_intercept(data, nib.Nifti1Header))
    if data[4:8] == _NIFTI2:
        return nib.Nifti2Image.from_bytes(_with_intercept(data, nib.Nifti2Header))
    if data.startswith(_MGH_VERSION) and int.from_bytes(data[20:24], "big") in _MGH_TYPES:
        return nib.MGHImage.from_bytes(data)
    if ending == ".img":
        return _open_pair(_unpacked(_partner(path, ".hdr").read_bytes()), data, path)
    if ending == ".hdr":
        return _open_pair(data, _unpacked(_partner(path, ".img").read_bytes()), path)
    raise ValueError("its content is of no format known here" if data else "it is empty")


def _unpacked(data: bytes) -> bytes:
    """The content of a file that was compressed by gzip once, several times or never.

    Raises:
        EOFError, zlib.error: the compressed data are damaged.
    """
    for _ in range(_MOST_COMPRESSIONS):
        if not data.startswith(_GZIP):
            break
        data = _decompressed(data)
    return data


def _decompressed(data: bytes) -> bytes:
    """All members of a gzip file, up to the checksum of each; what follows the last one is none of it."""
    parts = []
    while data.startswith(_GZIP):
        engine = zlib.decompressobj(wbits=31)
        parts.append(engine.decompress(data))
        if not engine.eof:
            raise EOFError("the compressed data end too early")
        data = engine.unused_data
    return b"".join(parts)


def _with_intercept(data: bytes, kind: type[nib.Nifti1Header]) -> bytes:
    """The file with an intercept of 0 where its header has a slope alone.

    Raises:
        ValueError: nothing in the header tells how large voxels are.
    """
    size = kind.template_dtype.itemsize
    header = kind(data[:size], check=False)
    if header["sform_code"] == 0 and not (np.abs(header["pixdim"][1:4]) > 0).all():  # nibabel takes them for 1
        raise ValueError("its header gives its voxels no size")
    if np.isfinite(header["scl_slope"]) and not np.isfinite(header["scl_inter"]):
        header["scl_inter"] = 0
    return bytes(header.binaryblock) + data[size:]


def _open_pair(header: bytes, voxels: bytes, path: Path) -> Any:
    holders = {"header": FileHolder(fileobj=io.BytesIO(header)), "image": FileHolder(fileobj=io.BytesIO(voxels))}
    if header[344:348] == _NIFTI1_PAIR:
        holders["header"].fileobj = io.BytesIO(_with_intercept(header, nib.Nifti1Header))
        return nib.Nifti1Pair.from_file_map(holders)
    if header[4:8] == _NIFTI2_PAIR:
        return nib.Nifti2Pair.from_file_map(holders)
    if _ANALYZE_SIZE not in (int.from_bytes(header[:4], "little"), int.from_bytes(header[:4], "big")):
        raise ValueError("its header is neither of NIfTI nor of Analyze")
    return nib.Spm99AnalyzeImage.from_file_map({**holders, "mat": FileHolder(filename=str(_matrix_file(path)))})


def _matrix_file(path: Path | str) -> Path:
    """The file beside an Analyze file that tells where its axes run."""
    return Path(path).with_suffix(".mat")


def _orientation_notices(image: nib.spatialimages.SpatialImage, place: Path | str) -> Notices:
    if not isinstance(image, nib.Spm99AnalyzeImage) or is_file(_matrix_file(place)):
        return ()
    text = "is an Analyze file, which does not tell left from right; its columns are taken to run left."
    return (Notice(NoticeKind.ORIENTATION, str(place), text),)


def _partner(path: Path, ending: str) -> Path:
    """The other file of a pair, whatever the case of its ending and whether it is compressed.

    Raises:
        UserError: it is not there.
    """
    name = path.name.lower().removesuffix(".gz")[:-4] + ending
    for each in sorted(path.parent.iterdir()):
        if each.name.lower() in (name, f"{name}.gz"):
            return each
    raise UserError(f"is one file of two; put the {ending} file of the same name beside it.", place=path)


def _check_kind(image: Any, path: Path | str) -> None:
    dtype = image.get_data_dtype()
    if dtype.names or dtype.kind not in "iuf":
        raise not_scalar(path)
    if 0 in image.shape:
        raise UserError(f"has no voxels (size {image.shape}); give a volume with an image in it.", place=path)


def _check_size(image: Any, stored: int, path: Path) -> None:
    """Refuse a file that cannot hold what its header tells, before memory is taken for that."""
    if math.prod(image.shape) * image.get_data_dtype().itemsize > stored:
        raise _damage(path, EOFError("it has fewer voxels than its header says"))


def _in_millimetres(image: Any) -> NDArray[np.float64]:
    """The affine, from metres or microns if the header names them and a head results, which mere labels do not give."""
    affine = np.array(image.affine, np.float64)
    unit = int(image.header["xyzt_units"]) & _UNIT_BITS if isinstance(image.header, nib.Nifti1Header) else 0
    factor = {_METRE: 1000.0, _MICRON: 0.001}.get(unit, 1.0)
    sizes = (*image.shape, 1, 1)[:3]
    with np.errstate(all="ignore"):
        extent = float(np.median(np.linalg.norm(affine[:3, :3], axis=0) * sizes))
    if not _PLAUSIBLE[0] < extent * factor < _PLAUSIBLE[1] and _PLAUSIBLE[0] < extent < _PLAUSIBLE[1]:
        factor = 1.0
    affine[:3] *= factor
    return affine


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
