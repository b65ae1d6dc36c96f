"""DICOM files of a volume, classic and enhanced, made by pydicom."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from LMIDiffusionLib.images.volume import Volume

STUDY = "1.2.826.0.1.3680043.8.498.1"
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def placed(volume: Volume, index: int) -> dict[str, list[float]]:
    """Attributes of a slice across the third axis: in DICOM, the first index runs along the columns of an image."""
    affine = _LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :2], axis=0)
    return {
        "ImageOrientationPatient": (affine[:3, :2] / spacing).T.ravel().tolist(),
        "ImagePositionPatient": (affine @ [0, 0, index, 1])[:3].tolist(),
        "PixelSpacing": spacing[::-1].tolist(),
    }


def save_series(folder: Path, volume: Volume, *, skip: Iterable[int] = (), **attributes: Any) -> list[Path]:
    """One file a slice, int16, in names that say nothing of their order; values in `attributes` stand in each."""
    folder.mkdir(parents=True, exist_ok=True)
    series = {"SeriesInstanceUID": generate_uid(), "SeriesNumber": 1, "SeriesDescription": "t2_tse", **attributes}
    paths = []
    for index in range(volume.array.shape[2]):
        path = folder / f"IM{index * 7 % 31:03}_{len(list(folder.iterdir()))}"
        if index not in skip:
            dataset = _dataset(path, MRImageStorage, volume.array[:, :, index].T, **series, **placed(volume, index))
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def save_enhanced(
    path: Path, volume: Volume, order: Sequence[int], *, frames: Sequence[dict[str, Any]] = (), **attributes: Any
) -> Path:
    """One file with all slices, in the given order; `frames` has further attributes of each."""
    array = np.stack([volume.array[:, :, index].T for index in order])
    dataset = _dataset(path, EnhancedMRImageStorage, array, SeriesInstanceUID=generate_uid(), **attributes)
    dataset.NumberOfFrames = len(order)
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    groups = []
    for index, further in zip(order, frames or [{}] * len(order), strict=True):
        attributes = placed(volume, index) | further
        group = Dataset()
        group.PlanePositionSequence = [_item(ImagePositionPatient=attributes.pop("ImagePositionPatient"))]
        group.PlaneOrientationSequence = [_item(ImageOrientationPatient=attributes.pop("ImageOrientationPatient"))]
        group.PixelMeasuresSequence = [_item(PixelSpacing=attributes.pop("PixelSpacing"), SliceThickness=1.0)]
        if "EffectiveEchoTime" in attributes:
            group.MREchoSequence = [_item(EffectiveEchoTime=attributes.pop("EffectiveEchoTime"))]
        if attributes:
            group.PixelValueTransformationSequence = [_item(**attributes)]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.save_as(path, enforce_file_format=True)
    return path


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _dataset(path: Path, kind: UID, array: NDArray[Any], **attributes: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.StudyInstanceUID, dataset.PatientID = "MR", STUDY, "anna"
    *_, dataset.Rows, dataset.Columns = array.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelData = array.astype("<i2").tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset
