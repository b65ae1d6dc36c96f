"""Scans as training reads them: masks, label maps and classes, whatever a folder holds."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.normalization import to_unit_scale
from LMIDiffusionLib.images.planes import AXIAL, PLANES
from LMIDiffusionLib.images.volume import read_volume
from LMIDiffusionLib.training.anatomy import CLASSES, MOST_CLASSES
from LMIDiffusionLib.training.data.reading import Notes, ReadScan, print_notes, read_scan, slices_of_plane
from LMIDiffusionLib.training.data.scans import read_scans
from LMIDiffusionLib.training.data.subjects import find_subjects
from LMIDiffusionLib.training.options import DataOptions

_AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
_LEVELS = (0.12, 0.42, 0.62, 0.8)
_PLAIN = DataOptions(correct_bias=False, tissue_levels=None)
_WHITE = CLASSES.index("white matter")


@pytest.fixture(scope="module")
def head() -> NDArray[np.float64]:
    """Nested balls: a ventricle, white matter, cortex, fluid, bone and fat."""
    axes = np.meshgrid(*(np.arange(n) - n / 2 for n in (68, 72, 72)), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    image = np.select([radius < r for r in (6, 18, 23, 24, 29, 33)], [260, 650, 500, 250, 50, 700])
    return image + np.where(image > 0, np.random.default_rng(0).normal(0, 10, image.shape), 0)


@pytest.fixture(scope="module")
def labels(head: NDArray[np.float64]) -> NDArray[np.uint8]:
    axes = np.meshgrid(*(np.arange(n) - n / 2 for n in head.shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    return np.select([radius < r for r in (6, 18, 23)], [51, 81, 100]).astype(np.uint8)


@pytest.fixture
def folder(head: NDArray[np.float64], labels: NDArray[np.uint8], tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        nib.save(nib.Nifti1Image(head.astype(np.int16), _AFFINE), tmp_path / f"{name}_T1w.nii.gz")
    nib.save(nib.Nifti1Image(labels, _AFFINE), tmp_path / "a_dlmuse.nii.gz")
    return tmp_path


def _read(folder: Path, options: DataOptions = _PLAIN) -> tuple[list[ReadScan], Notes]:
    notes: Notes = {}
    subjects = find_subjects(folder, modality="T1w", brain_suffixes=("mask",), label_suffix="dlmuse")
    return [read_scan(subject, options, notes) for subject in subjects], notes


def _names(notes: Notes, text: str) -> Sequence[str]:
    return next(names for note, names in notes.items() if text in note)


def test_a_map_that_is_missing_or_lies_elsewhere_is_noted_and_done_without(
    folder: Path, labels: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    nib.save(nib.Nifti1Image(labels, _AFFINE + 30 * np.eye(4, k=1)), folder / "b_dlmuse.nii.gz")
    scans, notes = _read(folder, DataOptions(correct_bias=False, tissue_levels=_LEVELS))
    assert _names(notes, "lies elsewhere") == ["b"]
    assert _names(notes, "No label map") == ["c"]
    assert [bool((scan.classes == _WHITE).any()) for scan in scans] == [True, False, False]
    print_notes(notes, 3)
    assert "1 of 3 subjects (b)" in capsys.readouterr().out


def test_labels_stored_with_a_scale_factor_are_rounded_not_cut(folder: Path, labels: NDArray[np.uint8]) -> None:
    image = nib.Nifti1Image(labels.astype(np.float64), _AFFINE)
    image.set_data_dtype(np.int16)
    nib.save(image, folder / "a_dlmuse.nii.gz")
    found = set(np.unique(_read(folder)[0][0].classes).tolist())
    assert {CLASSES.index(name) for name in ("ventricles", "white matter", "cortex")} <= found
    assert max(found) < len(CLASSES)


def test_the_brain_is_the_mask_or_the_labeled_voxels_or_unknown(folder: Path, labels: NDArray[np.uint8]) -> None:
    nib.save(nib.Nifti1Image((labels > 0).astype(np.uint8), _AFFINE), folder / "b_mask.nii.gz")
    scans, _ = _read(folder)
    assert [scan.brain is None for scan in scans] == [False, False, True]
    for scan in scans[:2]:
        np.testing.assert_array_equal(scan.brain, labels > 0)


@pytest.mark.parametrize(("value", "note"), [(0, "it is empty"), (0.4, "other values than labels")])
def test_a_map_without_labels_is_noted_and_left_out(
    folder: Path, labels: NDArray[np.uint8], value: float, note: str
) -> None:
    nib.save(nib.Nifti1Image((value * labels).astype(np.float32), _AFFINE), folder / "a_dlmuse.nii.gz")
    scans, notes = _read(folder)
    assert _names(notes, note) == ["a"]
    assert scans[0].brain is None


def test_slices_of_every_plane_show_a_head_in_a_narrow_box(folder: Path) -> None:
    scan = _read(folder)[0][0]
    for plane in PLANES:
        slices = slices_of_plane(scan, plane, 2.0)
        assert slices.images.shape == slices.brains.shape == slices.classes.shape
        assert slices.class_means.shape == (len(slices.images), MOST_CLASSES)
        assert (slices.images > 0.1).float().mean((1, 2, 3)).min() > 0.05
        assert min(slices.images.shape[-2:]) > 64 and max(slices.images.shape[-2:]) < 72
        white = slices.images[slices.classes == _WHITE]
        assert abs(float(white.mean()) - scan.class_means[_WHITE]) < 0.01


def test_scans_that_show_no_head_are_refused(tmp_path: Path) -> None:
    wide = np.zeros((220, 220, 20), np.int16)
    wide[100:120, 100:120] = 500
    nib.save(nib.Nifti1Image(wide, _AFFINE), tmp_path / "a_T1w.nii.gz")
    with pytest.raises(UserError, match="less than 10% of each axial slice"):
        slices_of_plane(_read(tmp_path)[0][0], AXIAL, 2.0)


def test_the_brain_alone_is_put_on_its_own_intensity_scale(folder: Path, labels: NDArray[np.uint8]) -> None:
    volume = read_volume(folder / "a_T1w.nii.gz")
    brain_only, whole = to_unit_scale(volume.array * (labels > 0)), to_unit_scale(volume.array)
    subjects = find_subjects(folder, modality="T1w", brain_suffixes=(), label_suffix="dlmuse")
    (scan, *_) = read_scans(subjects[:1], _PLAIN, cache=folder / "cache", notes={})
    assert not 0.97 < scan.gain < 1.03, "the brain of this head has another median than the head"
    compared = (brain_only > 0.3) & (whole < 1) & (brain_only < 1)
    np.testing.assert_allclose(whole[compared] * scan.gain, brain_only[compared], rtol=0.01)
