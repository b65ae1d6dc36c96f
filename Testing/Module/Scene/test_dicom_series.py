"""A translation of a volume from DICOM becomes a derived series of the same patient and study, at the same places."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import conftest
import host
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import slicer
from conftest import PATIENCE, add_head, package, running
from quick_process import quick_runs

_PATIENT = {"PatientName": "Doe^Jane", "PatientID": "4711", "PatientBirthDate": "19700101", "PatientSex": "F"}
_STUDY = {"StudyInstanceUID": "1.2.3", "StudyID": "7", "StudyDate": "20260101", "AccessionNumber": "9"}


def _slice(number: int, pixels: np.ndarray, ijk_to_lps: np.ndarray) -> pydicom.Dataset:
    """One slice as a scanner stores it, K being the slice."""
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = pydicom.uid.MRImageStorage, f"1.2.3.4.{number + 1}"
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    for name, value in {**_PATIENT, **_STUDY}.items():
        setattr(image, name, value)
    image.SeriesInstanceUID, image.SeriesNumber, image.SeriesDescription = "1.2.3.4", 3, "PDw axial"
    image.FrameOfReferenceUID, image.Modality, image.InstanceNumber = "1.2.9", "MR", number + 1
    image.EchoTime, image.RepetitionTime, image.ProtocolName = 20, 3000, "PD"
    image.add_new((0x0019, 0x0010), "LO", "A VENDOR")
    steps = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    image.ImageOrientationPatient = [*(ijk_to_lps[:3, 0] / steps[0]), *(ijk_to_lps[:3, 1] / steps[1])]
    image.ImagePositionPatient = list(ijk_to_lps[:3, 3] + number * ijk_to_lps[:3, 2])
    image.PixelSpacing, image.SliceThickness = [steps[1], steps[0]], steps[2]
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.RescaleSlope, image.RescaleIntercept = 2, -5
    image.PixelData = pixels.astype("<u2").tobytes()
    return image


@pytest.fixture
def source(head: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A head from an oblique DICOM series, whose files the database knows."""
    turn = np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]])
    ijk_to_ras = package("Scene.Geometry").ijkToRas(head)
    ijk_to_ras[:3, :3] = turn @ ijk_to_ras[:3, :3]
    head.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras))
    array = slicer.util.arrayFromVolume(head)
    files = {}
    for number in range(array.shape[0]):
        image = _slice(number, array[number], np.diag([-1, -1, 1, 1]) @ ijk_to_ras)
        path = tmp_path / f"in{number}.dcm"
        image.save_as(path, enforce_file_format=True)
        files[image.SOPInstanceUID] = str(path)
    head.SetAttribute("DICOM.instanceUIDs", " ".join(reversed(files)))
    database = SimpleNamespace(files=files, fileForInstance=lambda uid: files.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    return head


@pytest.fixture
def export(widget: Any, ui: Any, source: Any, checkpoint: Path, tmp_path: Path) -> Any:
    """Translates the source and exports the result into a folder; returns the folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    with quick_runs(widget.logic):
        conftest.choose_fastest(widget, checkpoint).sourceVolume = source
        ui.translateButton.click()
        host.waitUntil(lambda: not running(), PATIENCE)

        def run() -> Path:
            assert ui.exportDicomButton.enabled
            host.answerNext(str(folder))
            ui.exportDicomButton.click()
            return folder

        yield run


def _exported(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*/*.dcm"))]


def test_the_series_keeps_patient_study_and_frame_of_reference_and_is_a_new_one(export: Callable[[], Path]) -> None:
    images = _exported(export())
    assert len(images) == 20
    for image in images:
        for name, value in {**_PATIENT, **_STUDY, "FrameOfReferenceUID": "1.2.9"}.items():
            assert str(getattr(image, name)) == value
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert images[0].SeriesInstanceUID != "1.2.3.4"
    assert len({image.SOPInstanceUID for image in images}) == 20
    assert {image.SourceImageSequence[0].ReferencedSOPInstanceUID for image in images} == {
        f"1.2.3.4.{number}" for number in range(1, 21)
    }
    assert all(image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID for image in images)


def test_the_series_says_that_it_is_synthetic_and_nothing_of_the_source_s_acquisition(
    export: Callable[[], Path],
) -> None:
    for image in _exported(export()):
        assert image.SeriesDescription == "Synthetic, research only: head as T1w"
        assert list(image.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert image.ContentQualification == "RESEARCH"
        assert "LMIDiffusion" in image.DerivationDescription
        assert not image.EchoTime and not image.RepetitionTime
        for name in ("ProtocolName", "RescaleSlope", "RescaleIntercept"):
            assert name not in image
        assert (0x0019, 0x0010) not in image


def test_an_independent_reader_finds_the_translation_s_values_at_the_same_places(
    widget: Any, export: Callable[[], Path]
) -> None:
    folder = next(export().iterdir())
    read = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    translation = widget.panel.parameterNode.resultVolume
    expected = slicer.util.arrayFromVolume(translation)
    assert expected.max() > 0.9
    kji_to_ras = package("Scene.Geometry").ijkToRas(translation)
    for k, j, i in ((3, 10, 20), (10, 24, 15), (17, 30, 25)):
        ras = (kji_to_ras @ [i, j, k, 1])[:3]
        found = read[read.TransformPhysicalPointToIndex([-ras[0], -ras[1], ras[2]])]
        assert found / 4095 == pytest.approx(expected[k, j, i], abs=2e-4)


def test_a_second_export_does_not_touch_the_first(export: Callable[[], Path]) -> None:
    folder = export()
    export()
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["head as T1w", "head as T1w 2"]
    assert len({image.SeriesInstanceUID for image in _exported(folder)}) == 2


@pytest.mark.parametrize("fault", ["gone", "moved", "frames", "unwritable"])
def test_a_failed_export_gives_the_reason_and_leaves_nothing(
    fault: str, source: Any, export: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", shown.append)
    files = slicer.dicomDatabase.files
    if fault == "gone":
        del files["1.2.3.4.7"]
    elif fault == "unwritable":
        (tmp_path / "out").rmdir()
    else:
        image = pydicom.dcmread(files["1.2.3.4.7"])
        if fault == "moved":
            image.ImagePositionPatient = [0, 0, 0]
        else:
            image.NumberOfFrames = 2
        image.save_as(files["1.2.3.4.7"])
    folder = export()
    reasons = {"gone": "are gone", "moved": "another grid", "frames": "many frames", "unwritable": "cannot be written"}
    assert len(shown) == 1 and reasons[fault] in shown[0]
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_volume_that_is_not_from_dicom_offers_no_export(
    widget: Any, ui: Any, checkpoint: Path, export: Callable[[], Path]
) -> None:
    node = widget.panel.parameterNode
    conftest.add_result(node, add_head("plain"))
    assert not ui.exportDicomButton.enabled


def test_the_segmentation_can_be_exported_as_seg_by_slicer_s_plugin(
    widget: Any, source: Any, export: Callable[[], Path]
) -> None:
    """`DICOMSegmentationPlugin` reads the referenced volume and its UIDs; the node's name describes the series."""
    segmentation = widget.panel.parameterNode.resultSegmentation
    assert segmentation.GetName() == "head as T1w segmentation (synthetic)"
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    referenced = segmentation.GetNodeReference(role)
    assert referenced.GetAttribute("DICOM.instanceUIDs") == source.GetAttribute("DICOM.instanceUIDs")
    assert referenced is source
    geometry = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    expected = slicer.vtkSegmentationConverter.SerializeImageGeometry(
        slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(source)
    )
    assert segmentation.GetSegmentation().GetConversionParameter(geometry) == expected
