"""Export of a translation as a derived DICOM series in the patient and study of its source.

Slicer's own export of volumes stores whole numbers, and of a translation in [0, 1] nothing would be left; nor does it
say that the series is synthetic. Segmentations are exported by Slicer as DICOM SEG, described by their names.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..Base.Errors import TranslationError
from .Geometry import ijkToRas
from .Results import SOURCE_ROLE

UIDS = "DICOM.instanceUIDs"
_HIGHEST = 4095  # 12 bits, as scanners store
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Properties of the source's acquisition or pixels that a synthetic image does not have.
_FOREIGN = (
    *("EchoTime", "RepetitionTime", "InversionTime", "FlipAngle", "EchoTrainLength", "SequenceName", "ProtocolName"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "SmallestImagePixelValue", "LargestImagePixelValue"),
    *("PixelPaddingValue", "VOILUTSequence", "WindowCenterWidthExplanation", "LossyImageCompression"),
)
_LONGEST_DESCRIPTION = 64


def isFromDicom(translation) -> bool:
    """Tell whether the source of a translation was loaded from DICOM, so that a derived series can be made."""
    source = None if translation is None else translation.GetNodeReference(SOURCE_ROLE)
    return source is not None and bool(source.GetAttribute(UIDS))


def exportSeries(translation, folder: Path) -> Path:
    """Write one file for each file of the source into a new folder, and return that.

    :raises TranslationError: the files of the source are gone or lie elsewhere, or the new ones cannot be written;
      nothing is left then.
    """
    import pydicom

    files = _filesOf(translation.GetNodeReference(SOURCE_ROLE))
    series, array = pydicom.uid.generate_uid(), slicer.util.arrayFromVolume(translation)
    rasToIjk = np.linalg.inv(ijkToRas(translation))
    derived = []
    for file in files:
        image = pydicom.dcmread(file)
        pixels = array[_indicesOf(image, rasToIjk, array.shape)]
        derived.append(_derive(image, pixels, translation, series))
    return _write(derived, folder, translation.GetName())


def _filesOf(source) -> list[str]:
    files = [slicer.dicomDatabase.fileForInstance(uid) for uid in source.GetAttribute(UIDS).split()]
    if not all(files):
        raise TranslationError(_("DICOM files of {name} are gone; import them again.").format(name=source.GetName()))
    return files


def _indicesOf(image, rasToIjk: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Return the voxel (K, J, I) of each pixel of a slice, found by its place in the world."""
    if int(image.get("NumberOfFrames", 1)) > 1 or "ImagePositionPatient" not in image:
        raise TranslationError(
            _("The source comes from a DICOM file of many frames, which cannot be exported; save it as NIfTI or NRRD.")
        )
    pixelToLps = np.eye(4)
    along, down = np.reshape(np.asarray(image.ImageOrientationPatient, float), (2, 3))
    spacingDown, spacingAlong = map(float, image.PixelSpacing)
    pixelToLps[:3, 0], pixelToLps[:3, 1] = along * spacingAlong, down * spacingDown
    pixelToLps[:3, 3] = np.asarray(image.ImagePositionPatient, float)
    rows, columns = np.mgrid[: image.Rows, : image.Columns]
    pixels = np.stack([columns, rows, np.zeros_like(rows), np.ones_like(rows)], -1)
    places = (pixels @ (rasToIjk @ _LPS_TO_RAS @ pixelToLps).T)[..., :3]
    indices = np.round(places).astype(int)
    isInside = ((indices >= 0) & (indices < np.array(shape[::-1]))).all()
    if not isInside or np.abs(places - indices).max() > 0.1:
        raise TranslationError(_("The DICOM files of the source lie on another grid than the volume in the scene."))
    return indices[..., 2], indices[..., 1], indices[..., 0]


def _derive(image, pixels: np.ndarray, translation, series: str):
    """Turn a slice of the source into one of the translation; patient, study and place stay."""
    import pydicom

    source = pydicom.Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    image.remove_private_tags()
    for name in _FOREIGN:
        if name in image:
            delattr(image, name)
    image.SOPClassUID = pydicom.uid.MRImageStorage
    image.SOPInstanceUID = pydicom.uid.generate_uid()
    image.SeriesInstanceUID = series
    image.SeriesNumber = int(image.get("SeriesNumber") or 0) + 1000
    image.SeriesDescription = _("Synthetic, research only: {name}").format(name=translation.GetName())[
        :_LONGEST_DESCRIPTION
    ]
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    image.DerivationDescription = translation.GetDescription()
    image.SourceImageSequence = [source]
    image.Modality, image.ContentQualification, image.BurnedInAnnotation = "MR", "RESEARCH", "NO"
    image.ScanningSequence, image.SequenceVariant, image.ScanOptions = "RM", "NONE", ""
    image.RepetitionTime = image.EchoTime = None
    _setPixels(image, pixels)
    return image


def _setPixels(image, pixels: np.ndarray) -> None:
    import pydicom

    stored = np.round(np.clip(pixels, 0, 1) * _HIGHEST).astype("<u2")
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.WindowCenter, image.WindowWidth = (_HIGHEST + 1) // 2, _HIGHEST + 1
    image.PixelData = stored.tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian


def _write(images: list, folder: Path, name: str) -> Path:
    """Write all files, or none."""
    plain = "".join(each if each.isalnum() or each in "-_ ." else "_" for each in name)
    target = folder / plain
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{plain} {number}"
    try:
        with tempfile.TemporaryDirectory(prefix=".LMIDiffusion-", dir=folder) as temporary:
            made = Path(temporary) / "series"
            made.mkdir()
            for index, image in enumerate(images, 1):
                _save(image, made / f"{index:04}.dcm")
            made.rename(target)
    except OSError as error:
        raise TranslationError(
            _("The DICOM files cannot be written to {folder} ({reason}).").format(folder=folder, reason=error.strerror)
        ) from error
    return target


def _save(image, path: Path) -> None:
    import pydicom

    if int(pydicom.__version__.partition(".")[0]) < 3:  # Slicer 5.10 has 2.4
        image.is_little_endian, image.is_implicit_VR = True, False
        image.save_as(path, write_like_original=False)
    else:
        image.save_as(path, enforce_file_format=True)
