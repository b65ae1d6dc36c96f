"""Properties of DICOM series as sources: where their voxels lie, which one is read, and what is refused."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import save_enhanced, save_series
from grids import Affine, affine_of, assert_same_in_space, rotation
from pydicom.data import get_testdata_file
from pydicom.uid import RLELossless, generate_uid

from LMIDiffusionLib.errors import ScanWarning, UserError
from LMIDiffusionLib.images.dicom.series import Series
from LMIDiffusionLib.images.masks import read_mask
from LMIDiffusionLib.images.volume import Volume, read_volume

Orientations = Callable[[Volume], Iterator[tuple[Volume, Any]]]

OBLIQUE = rotation((1, 2, 3), 25) @ affine_of((0.9, 1.1, 3.3))


def random_volume(affine: Affine = OBLIQUE, shape: tuple[int, int, int] = (5, 6, 7)) -> Volume:
    return Volume(np.random.default_rng(0).integers(-99, 999, shape).astype(np.int16), affine)


def by_itk(folder: Path) -> Volume:
    """A series as ITK reads it, independently of our headers."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image).T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


# Where voxels lie -----------------------------------------------------------------------------------------------------


def test_a_series_lies_where_its_volume_and_itk_say_in_every_orientation(
    tmp_path: Path, orientations: Orientations
) -> None:
    for number, (turned, _) in enumerate(orientations(random_volume())):
        folder = tmp_path / f"{number}"
        save_series(folder, turned)
        found = read_volume(folder)
        assert_same_in_space(found, turned)
        assert_same_in_space(found, by_itk(folder))


def test_an_enhanced_file_lies_where_its_volume_does_in_every_orientation_and_order_of_frames(
    tmp_path: Path, orientations: Orientations
) -> None:
    generator = np.random.default_rng(1)
    for turned, _ in orientations(random_volume()):
        order = generator.permutation(turned.array.shape[2]).tolist()
        path = save_enhanced(tmp_path / "enhanced.dcm", turned, order)
        assert_same_in_space(read_volume(path), turned)
        assert_same_in_space(read_volume(tmp_path), turned)


def test_a_tilted_gantry_gives_a_sheared_volume(tmp_path: Path) -> None:
    affine = OBLIQUE.copy()
    affine[:3, 2] += 0.6 * affine[:3, 1]
    save_series(tmp_path / "tilted", random_volume(affine))
    assert_same_in_space(read_volume(tmp_path / "tilted"), random_volume(affine))


def test_a_single_slice_is_as_thick_as_its_header_says(tmp_path: Path) -> None:
    volume = random_volume(shape=(5, 6, 1))
    save_series(tmp_path / "slice", volume, SliceThickness=3.3)
    assert_same_in_space(read_volume(tmp_path / "slice"), volume)


def test_each_file_is_scaled_by_its_own_slope(tmp_path: Path) -> None:
    volume = random_volume()
    first, *others = save_series(tmp_path / "scaled", volume, RescaleSlope=1.0, RescaleIntercept=0.0)
    for path in others:
        dataset = pydicom.dcmread(path)
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.25, -7.5
        dataset.save_as(path)
    expected = volume.array * 0.25 - 7.5
    expected[:, :, 0] = volume.array[:, :, 0]
    assert_same_in_space(read_volume(tmp_path / "scaled"), volume.with_array(expected))
    assert first.exists()


def test_a_compressed_series_is_read(tmp_path: Path) -> None:
    volume = random_volume(shape=(64, 64, 3))
    for path in save_series(tmp_path / "rle", volume):
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    assert_same_in_space(read_volume(tmp_path / "rle"), volume)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that kill")
def test_a_decoder_that_is_killed_is_reported_as_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slices").mkdir()
    shutil.copy(str(get_testdata_file("MR_small_jp2klossless.dcm")), tmp_path / "slices")
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    assert subprocess.run([killed], check=False).returncode == -signal.SIGKILL
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(UserError, match="is damaged, or compressed in a way unknown here"):
        read_volume(tmp_path / "slices")


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless"])
def test_compressed_slices_of_a_scanner_equal_the_uncompressed_one(tmp_path: Path, name: str) -> None:
    arrays = []
    for each in ("MR_small", name):
        folder = tmp_path / each
        folder.mkdir()
        shutil.copy(str(get_testdata_file(f"{each}.dcm")), folder)
        arrays.append(read_volume(folder).array)
    assert arrays[0].std() > 100
    np.testing.assert_array_equal(arrays[0], arrays[1])


def test_a_mask_may_be_a_series(tmp_path: Path, head: Volume) -> None:
    brain = np.asarray(head.array > 700)
    save_series(tmp_path / "mask", Volume(brain.astype(np.int16), head.affine))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask", head), brain)


def test_a_mask_may_be_a_dicom_segmentation(tmp_path: Path) -> None:
    volume = random_volume(shape=(16, 16, 4))
    marked = volume.array > 300
    path = save_enhanced(tmp_path / "mask.dcm", volume, [2, 0, 1, 3])
    dataset = pydicom.dcmread(path)
    frames = np.stack([marked[:, :, index].T for index in (2, 0, 1, 3)])
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = dataset.PixelRepresentation = 0
    dataset.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()
    dataset.save_as(path)
    np.testing.assert_array_equal(read_volume(path).array > 0, marked)


# Which series ---------------------------------------------------------------------------------------------------------


def test_one_series_is_found_below_other_files_and_once_where_it_is_there_twice(tmp_path: Path) -> None:
    volume = random_volume()
    paths = save_series(tmp_path / "disk" / "PA0" / "SE0", volume)
    for path in paths[::2]:
        shutil.copy(path, tmp_path / "disk")
    for name in ("test-SR.dcm", "reportsi.dcm", "SC_rgb_rle.dcm"):
        shutil.copy(str(get_testdata_file(name)), tmp_path / "disk")
    (tmp_path / "disk" / "README.txt").write_text("The patient moved.\n" * 50)
    (tmp_path / "disk" / "cut").write_bytes(paths[0].read_bytes()[:300])
    assert_same_in_space(read_volume(tmp_path / "disk"), volume)


def test_one_of_several_series_is_chosen_by_its_number_in_the_refusal(tmp_path: Path) -> None:
    volumes = [random_volume(), random_volume(affine_of((1.0, 2.0, 3.0)))]
    save_series(tmp_path, volumes[0], SeriesNumber=12, SeriesDescription="pd_tse")
    save_series(tmp_path, volumes[1], SeriesNumber=3, SeriesDescription="localizer")
    with pytest.raises(
        UserError, match=r"2 DICOM series.*--series N\):\n  1: localizer .*number 3.*\n  2: pd_tse .*7 slices"
    ):
        read_volume(tmp_path)
    assert_same_in_space(read_volume(Series(tmp_path, 2)), volumes[0])
    assert_same_in_space(read_volume(Series(tmp_path, 1)), volumes[1])
    with pytest.raises(UserError, match="2 DICOM series"):
        read_volume(Series(tmp_path, 3))


def test_the_list_of_series_tells_size_and_folder_and_marks_localizers(tmp_path: Path) -> None:
    affine = affine_of((0.5, 0.75, 3.0))
    save_series(tmp_path / "SE1", random_volume(affine, shape=(4, 5, 1)), SeriesNumber=1, SliceThickness=6)
    save_series(tmp_path / "SE2", random_volume(affine, shape=(4, 5, 7)), SeriesNumber=2)
    with pytest.raises(UserError) as refused:
        read_volume(tmp_path)
    _, first, second = str(refused.value).splitlines()
    assert first == "  1: t2_tse (scanner's number 1), 1 slice, too few for a head, 0.5 x 0.75 x 6 mm, in SE1"
    assert second == "  2: t2_tse (scanner's number 2), 7 slices, 0.5 x 0.75 x 3 mm, in SE2"


def test_what_is_no_series_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty is empty; give"):
        read_volume(tmp_path / "empty")
    save_series(tmp_path / "series", random_volume())
    one = next((tmp_path / "series").iterdir())
    with pytest.raises(UserError, match=f"is one slice of a DICOM series; give its folder {tmp_path / 'series'}"):
        read_volume(one)
    save_series(tmp_path / "color", random_volume(shape=(3, 3, 1)), SamplesPerPixel=3, PhotometricInterpretation="RGB")
    with pytest.raises(UserError, match=r"is a color picture \(secondary capture\), not a scan; give"):
        read_volume(next((tmp_path / "color").iterdir()))


def test_a_refusal_lists_some_of_very_many_series(tmp_path: Path) -> None:
    for number in range(25):
        save_series(tmp_path, random_volume(shape=(3, 3, 1)), SeriesNumber=number)
    with pytest.raises(
        UserError, match=r"(?s)25 DICOM series.*\n  20: t2_tse .*number 19\), 1 slice, .*\n  and so on$"
    ):
        read_volume(tmp_path)


def test_two_echoes_or_orientations_of_one_series_are_told_apart(tmp_path: Path) -> None:
    first, second = random_volume(), random_volume().with_array(random_volume().array[::-1].copy())
    for echo_time, volume in ((11, first), (96, second)):
        save_series(tmp_path / "echoes", volume, SeriesInstanceUID="1.2.3", EchoTime=echo_time)
    with pytest.raises(UserError, match=r"1: .*echo time 11.*\n  2: .*echo time 96"):
        read_volume(tmp_path / "echoes")
    assert_same_in_space(read_volume(Series(tmp_path / "echoes", 1)), first)
    assert_same_in_space(read_volume(Series(tmp_path / "echoes", 2)), second)
    for volume in (first, random_volume(affine_of((1.0, 1.0, 2.0)))):
        save_series(tmp_path / "localizer", volume, SeriesInstanceUID="1.2.3")
    assert_same_in_space(read_volume(Series(tmp_path / "localizer", 1)), first)


def test_echoes_of_an_enhanced_file_are_told_apart(tmp_path: Path) -> None:
    volume = random_volume()
    frames = [{"EffectiveEchoTime": time} for time in (11.0, 96.0) for _ in range(4)]
    path = save_enhanced(tmp_path / "enhanced", volume, [0, 1, 2, 3, 3, 1, 0, 2], frames=frames)
    with pytest.raises(UserError, match=r"1: .*echo time 11.*\n  2: .*echo time 96"):
        read_volume(path)
    assert_same_in_space(read_volume(Series(path, 2)), volume.with_array(volume.array[:, :, :4]))


def refusal_of(source: Path | Series) -> str:
    with pytest.raises(UserError) as refusal:
        read_volume(source)
    message = str(refusal.value)
    sentence, *listed = message.split("\n")
    assert sentence.endswith(":" if listed else ".") and ". " not in sentence
    return message


def test_copies_of_slices_are_left_out_whatever_their_identifiers(tmp_path: Path) -> None:
    volume = random_volume()
    for path in save_series(tmp_path, volume, SeriesInstanceUID="1.2.3"):
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = generate_uid()
        dataset.save_as(f"{path}_again")
    assert_same_in_space(read_volume(tmp_path), volume)


@pytest.mark.parametrize("identifier", ["1.2.3", "", None])
def test_slices_with_equal_empty_or_missing_instance_identifiers_are_all_read(
    tmp_path: Path, identifier: str | None
) -> None:
    volume = random_volume()
    for path in save_series(tmp_path, volume):
        dataset = pydicom.dcmread(path)
        if identifier is None:
            del dataset.SOPInstanceUID
        else:
            dataset.SOPInstanceUID = identifier
        dataset.save_as(path)
    assert_same_in_space(read_volume(tmp_path), volume)


@pytest.mark.parametrize(
    ("attribute", "value"), [("PatientID", "bert"), ("StudyInstanceUID", "1.2.9"), ("SeriesNumber", 2)]
)
def test_a_series_holds_one_patient_study_and_number(tmp_path: Path, attribute: str, value: str) -> None:
    between = OBLIQUE.copy()
    between[:3, 3] += between[:3, 2] / 2
    save_series(tmp_path, random_volume(), SeriesInstanceUID="1.2.3")
    changes: dict[str, Any] = {"SeriesInstanceUID": "1.2.3", attribute: value}
    save_series(tmp_path, random_volume(between), **changes)
    message = refusal_of(tmp_path)
    assert "2 DICOM series" in message
    assert attribute != "PatientID" or ("patient anna" in message and "patient bert" in message)
    assert_same_in_space(read_volume(Series(tmp_path, 1)), random_volume())


def test_a_series_identifier_for_each_slice_makes_one_series_with_a_notice(tmp_path: Path) -> None:
    for path in save_series(tmp_path, random_volume()):
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = generate_uid()
        dataset.save_as(path)
    with pytest.warns(ScanWarning, match="another SeriesInstanceUID in every slice"):
        assert_same_in_space(read_volume(tmp_path), random_volume())


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("EchoNumbers", (1, 2)),
        ("InversionTime", (100.0, 900.0)),
        ("FlipAngle", (5.0, 20.0)),
        ("ComplexImageComponent", ("MAGNITUDE", "PHASE")),
        ("SeriesDescription", ("INV1", "INV2")),
        ("AcquisitionTime", ("101010", "111111")),
    ],
)
def test_volumes_of_a_series_are_listed_by_their_headers_and_not_by_file_names(
    tmp_path: Path, attribute: str, values: tuple[Any, Any]
) -> None:
    volumes = [random_volume(), random_volume().with_array(random_volume().array + 9)]
    for place in ("a", "b"):
        for value, volume in zip(values, volumes, strict=True):
            folder = tmp_path / place / f"{(value == values[0]) ^ (place == 'a')}"
            save_series(folder, volume, SeriesInstanceUID="1.2.3", **{attribute: value})
        assert "2 DICOM series" in refusal_of(tmp_path / place)
        for number, volume in enumerate(volumes, 1):
            assert_same_in_space(read_volume(Series(tmp_path / place, number)), volume)


def test_volumes_that_follow_one_another_are_told_apart_by_the_numbers_of_their_images(tmp_path: Path) -> None:
    volumes = [random_volume(), random_volume().with_array(random_volume().array + 9)]
    for start, volume in zip((1, 8), volumes, strict=True):
        for index, path in enumerate(save_series(tmp_path, volume, SeriesInstanceUID="1.2.3")):
            dataset = pydicom.dcmread(path)
            dataset.InstanceNumber = start + index
            dataset.save_as(path)
    assert "image number 1 to 7" in refusal_of(tmp_path)
    assert_same_in_space(read_volume(Series(tmp_path, 2)), volumes[1])


def test_noise_in_echo_times_and_directions_divides_no_volume(tmp_path: Path) -> None:
    volume = random_volume(affine_of((1.0, 1.0, 3.0)))
    for index, path in enumerate(save_series(tmp_path, volume, EchoTime=30.0)):
        dataset = pydicom.dcmread(path)
        dataset.EchoTime = 30.0000991821289 if index == 3 else 30.0
        noise = 2e-4 * (index % 2)
        across, down = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        turned = [*(across + noise * down), *(down - noise * across)]
        dataset.ImageOrientationPatient = [round(each, 6) for each in turned]
        dataset.PixelSpacing = [1.0 + noise, 1.0 + noise]
        dataset.save_as(path)
    assert_same_in_space(read_volume(tmp_path), volume, tolerance=0.01)


def test_positions_rounded_to_a_tenth_of_a_millimeter_make_a_grid(tmp_path: Path) -> None:
    volume = random_volume(affine_of((1.0, 1.0, 0.9375)), shape=(5, 6, 40))
    for path in save_series(tmp_path, volume):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient = [round(float(each), 1) for each in dataset.ImagePositionPatient]
        dataset.save_as(path)
    assert_same_in_space(read_volume(tmp_path), volume, tolerance=0.1)


def test_frames_are_each_on_their_own_scale(tmp_path: Path) -> None:
    volume = random_volume()
    slopes = [1.0 + index % 2 for index in range(7)]
    frames = [{"RescaleSlope": slope, "RescaleIntercept": -3.0} for slope in slopes]
    found = read_volume(save_enhanced(tmp_path / "slopes", volume, range(7), frames=frames))
    assert_same_in_space(found, volume.with_array(volume.array * np.array(slopes) - 3.0))


@pytest.mark.parametrize(
    ("reason", "damage"),
    [
        ("is empty", lambda path: path.write_bytes(b"")),
        ("header", lambda path: path.write_bytes(path.read_bytes()[:400])),
        ("preamble", lambda path: path.write_bytes(b"\x08\0\x05\0CS\x0a\0" + path.read_bytes()[300:])),
        ("broken link", lambda path: (path.unlink(), path.symlink_to("nowhere"))),
        ("no regular file", lambda path: (path.unlink(), os.mkfifo(path))),  # type: ignore[func-returns-value]
    ],
)
def test_a_file_that_is_left_out_is_named(tmp_path: Path, reason: str, damage: Callable[[Path], object]) -> None:
    volume = random_volume()
    *_, last = save_series(tmp_path, volume)
    damage(last)
    with pytest.warns(ScanWarning, match=rf"{last.name} .*{reason}"):
        assert_same_in_space(read_volume(tmp_path), volume.with_array(volume.array[:, :, :-1]))


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"])
def test_a_slice_without_a_place_is_named_and_a_series_of_them_is_refused(tmp_path: Path, keyword: str) -> None:
    volume = random_volume()
    *others, last = save_series(tmp_path, volume)
    for paths in ([last], others):
        for path in paths:
            dataset = pydicom.dcmread(path)
            delattr(dataset, keyword)
            dataset.save_as(path)
        if paths == [last]:
            with pytest.warns(ScanWarning, match=f"{last.name} has no {keyword}"):
                read_volume(tmp_path)
    assert f"has no {keyword}" in refusal_of(tmp_path)


@pytest.mark.parametrize("factor", [2.0, 0.1, 1.01])
def test_directions_that_are_no_unit_vectors_are_refused(tmp_path: Path, factor: float) -> None:
    for path in save_series(tmp_path, random_volume()):
        dataset = pydicom.dcmread(path)
        dataset.ImageOrientationPatient = [factor * float(each) for each in dataset.ImageOrientationPatient]
        dataset.save_as(path)
    assert "ImageOrientationPatient" in refusal_of(tmp_path)


def test_a_slice_without_thickness_is_refused(tmp_path: Path) -> None:
    save_series(tmp_path, random_volume(shape=(5, 6, 1)))
    assert "SliceThickness" in refusal_of(tmp_path)


def test_screenshots_and_colored_summaries_are_no_slices(tmp_path: Path) -> None:
    volume = random_volume()
    more = OBLIQUE.copy()
    more[:3, 3] += 7 * more[:3, 2]
    save_series(tmp_path, volume, SeriesInstanceUID="1.2.3")
    shot = random_volume(more, shape=(5, 6, 1))
    save_series(tmp_path, shot, SeriesInstanceUID="1.2.3", ImageType=["DERIVED", "SECONDARY", "SCREENSHOT"])
    with pytest.warns(ScanWarning, match="secondary image"):
        assert_same_in_space(read_volume(tmp_path), volume)


@pytest.mark.parametrize("modality", ["CT", "PT"])
def test_a_scan_by_another_machine_is_read_with_a_word(tmp_path: Path, modality: str) -> None:
    for path in save_series(tmp_path, random_volume()):
        dataset = pydicom.dcmread(path)
        dataset.Modality = modality
        dataset.save_as(path)
    with pytest.warns(ScanWarning, match=f"is of the modality {modality}; give a scan by MR"):
        assert_same_in_space(read_volume(tmp_path), random_volume())


def test_an_image_that_claims_more_voxels_than_its_file_holds_is_left_out_before_it_is_decoded(tmp_path: Path) -> None:
    for path in save_series(tmp_path, random_volume()):
        dataset = pydicom.dcmread(path)
        dataset.Rows = dataset.Columns = 65535
        dataset.save_as(path)
    assert "fewer voxels" in refusal_of(tmp_path)


# Refused files --------------------------------------------------------------------------------------------------------


def test_missing_slices_are_named(tmp_path: Path) -> None:
    volume = random_volume(shape=(5, 6, 12))
    paths = save_series(tmp_path / "gap", volume, skip=[4, 8, 9])
    message = refusal_of(tmp_path / "gap")
    for first, second in ((3, 4), (6, 7)):  # of the files that are left
        names = {paths[first].name, paths[second].name}
        assert any(f"between {one} and {two}" in message for one in names for two in names)
    path = save_enhanced(tmp_path / "gap.dcm", volume, [5, 0, 1, 2, 4])
    assert "between frame 4 and frame 5" in refusal_of(path) or "between frame 5 and frame 4" in refusal_of(path)


def moved(paths: list[Path], by: Callable[[int], list[float]]) -> None:
    for index, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient = (np.array(dataset.ImagePositionPatient, float) + by(index)).tolist()
        dataset.save_as(path)


def test_slices_that_make_no_grid_are_refused(tmp_path: Path) -> None:
    volume = random_volume(affine_of((1.0, 1.0, 3.0)))
    moved(save_series(tmp_path / "uneven", volume), lambda index: [0, 0, 0.1 * index**2])
    assert "mm apart" in refusal_of(tmp_path / "uneven")
    moved(save_series(tmp_path / "crooked", volume), lambda index: [index % 2, 0, 0])
    assert "in line" in refusal_of(tmp_path / "crooked")
    moved(save_series(tmp_path / "rounded", volume), lambda index: [0.001 * (index % 2), 0, 0])
    assert_same_in_space(read_volume(tmp_path / "rounded"), volume, tolerance=0.002)


def test_slices_that_make_no_volume_are_refused_in_one_sentence(tmp_path: Path) -> None:
    volume = random_volume()
    (tmp_path / "empty").mkdir()
    assert "is empty" in refusal_of(tmp_path / "empty")
    paths = save_series(tmp_path / "scan", volume)
    assert "give its folder" in refusal_of(paths[0])
    for each in (volume, volume.with_array(volume.array + 1)):
        save_series(tmp_path / "twice", each, SeriesInstanceUID="1.2.3")
    assert "several images of one place" in refusal_of(tmp_path / "twice")
    save_series(tmp_path / "mosaic", volume, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    assert "mosaic" in refusal_of(tmp_path / "mosaic")
    for path in save_series(tmp_path / "cut", volume):
        path.write_bytes(path.read_bytes()[:-20])
    assert "damaged" in refusal_of(tmp_path / "cut")
    for path in save_series(tmp_path / "colors", volume):
        dataset = pydicom.dcmread(path)
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        dataset.PixelData = bytes(dataset.Rows * dataset.Columns * 3)
        dataset.save_as(path)
    assert "color picture" in refusal_of(tmp_path / "colors")
