"""NRRD and MetaImage files, read and written by SimpleITK, whose space is left-posterior-superior."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..interface.notices import Notice, NoticeKind, Notices

if TYPE_CHECKING:
    import SimpleITK as sitk

NRRD, METAIMAGE, DICOM = "NrrdImageIO", "MetaImageIO", "GDCMImageIO"
"""Readers of SimpleITK by their names there."""

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse."""

_UNCOMPRESSED_BADLY = "Uncompress failed"
_STDERR = 2
_turn = threading.Lock()


def read_itk(
    path: Path, reader_name: str, *, known_as: Path
) -> tuple[NDArray[np.number], NDArray[np.float64], Notices]:
    """The voxels of a file, its affine in millimetres (right-anterior-superior), and a notice if that is a guess.

    Args:
        path: the file, not compressed as a whole.
        reader_name: of SimpleITK's readers.
        known_as: what the user calls it.

    Raises:
        UserError: the file is damaged, truncated, without the file of its voxels, or not scalar.
    """
    image = read_itk_image(path, reader_name, known_as=known_as)
    notices: Notices = ()
    if reader_name == NRRD and image.GetDimension() == 3 and "superior" not in _metadata(image, "NRRD_space"):
        text = "does not name its space; its axes are taken to run left, posterior, superior."
        notices = (Notice(NoticeKind.ORIENTATION, str(known_as), text),)
    return array_of(image), affine_of(image), notices


def read_itk_image(path: Path, reader_name: str, *, known_as: Path) -> sitk.Image:
    """`read_itk` as an image of SimpleITK."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(str(path))
    try:
        with _overheard() as said:
            image = reader.Execute()
    except RuntimeError as error:  # all that SimpleITK raises
        raise _damage(known_as, reader_name) from error
    if any(_UNCOMPRESSED_BADLY in each for each in said):
        raise _damage(known_as, reader_name)
    if image.GetNumberOfComponentsPerPixel() > 1 or "complex" in image.GetPixelIDTypeAsString():
        raise not_scalar(known_as)
    return image


def not_scalar(path: Path | str) -> UserError:
    """What is said of a file of colours, vectors or complex numbers."""
    return UserError("holds colours, vectors or complex numbers; give a scalar grey-value volume.", place=path)


def _damage(path: Path, reader_name: str) -> UserError:
    if reader_name == DICOM:
        return UserError("is damaged, or compressed in a way unknown here; copy it again or try dcm2niix.", place=path)
    return UserError("is damaged, truncated, or lacks the file of its voxels; copy all of it again.", place=path)


def _metadata(image: sitk.Image, key: str) -> str:
    return str(image.GetMetaData(key)) if image.HasMetaDataKey(key) else ""


@contextlib.contextmanager
def _overheard() -> Iterator[list[str]]:
    """What ITK's parts write to the terminal in their own words, known afterwards; some errors are told there alone."""
    said: list[str] = []
    with _turn, tempfile.TemporaryFile() as file:
        try:
            terminal = os.dup(_STDERR)
        except OSError:  # closed: nobody listens
            yield said
            return
        try:
            os.dup2(file.fileno(), _STDERR)
            yield said
        finally:
            os.dup2(terminal, _STDERR)
            os.close(terminal)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))


def array_of(image: sitk.Image) -> NDArray[np.number]:
    """Voxels (I, J, K, ...) of an image."""
    import SimpleITK as sitk

    array: NDArray[np.number] = sitk.GetArrayFromImage(image).T
    return array


def affine_of(image: sitk.Image) -> NDArray[np.float64]:
    """Where the voxels of an image lie, right-anterior-superior; its first three axes are those of space."""
    dimensions = image.GetDimension()
    known = min(3, dimensions)
    direction = np.reshape(image.GetDirection(), (dimensions, dimensions))[:known, :known]
    affine = np.eye(4)
    affine[:known, :known] = direction * image.GetSpacing()[:known]
    affine[:known, 3] = image.GetOrigin()[:known]
    return LPS_FROM_RAS @ affine


def image_of(array: NDArray[np.number], affine: NDArray[np.float64]) -> sitk.Image:
    """Voxels (I, J, K) in the places that a right-anterior-superior affine gives; oblique axes stay as they are."""
    import SimpleITK as sitk

    in_lps = LPS_FROM_RAS @ affine
    spacing = np.linalg.norm(in_lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((in_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(in_lps[:3, 3].tolist())
    return image


def write_itk(path: Path, array: NDArray[np.number], affine: NDArray[np.float64]) -> None:
    """Write a compressed NRRD or MetaImage file in place, by the ending of its name."""
    import SimpleITK as sitk

    sitk.WriteImage(image_of(array, affine), str(path), useCompression=True)
