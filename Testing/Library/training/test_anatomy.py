from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.segmentation.dlmuse import DLMUSE_GROUPS
from LMIDiffusionLib.training.anatomy import (
    AIR,
    BRAIN_CLASSES,
    CLASSES,
    anatomical_classes,
    class_means,
    tissue_medians,
    with_tissue_levels,
)
from LMIDiffusionLib.training.data.dataset import find_subjects, read_slices
from LMIDiffusionLib.training.residual_bias import without_shading

_SPACING = (2.0, 2.0, 2.0)
_LEVELS = (0.12, 0.42, 0.62, 0.8)
_Scan = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.fixture(scope="module")
def scan() -> _Scan:
    """Nested balls: a ventricle (51), white matter (81), cortex (100), then fluid, bone and fat without label."""
    axes = np.meshgrid(*(np.arange(n) - n / 2 for n in (68, 72, 72)), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    image, labels = np.zeros(radius.shape, np.float32), np.zeros(radius.shape, np.int64)
    for reach, level, label in (
        (33, 0.7, 0),
        (29, 0.05, 0),
        (24, 0.25, 0),
        (23, 0.5, 100),
        (18, 0.65, 81),
        (6, 0.26, 51),
    ):
        image[radius < reach] = level
        labels[radius < reach] = label
    return image + np.where(image > 0, np.random.default_rng(0).normal(0, 0.01, radius.shape), 0).astype(
        np.float32
    ), labels


def _name(number: int) -> str:
    return CLASSES[number]


def test_groups_share_no_label_and_leave_none_of_the_tissues_out() -> None:
    labels = [label for group in DLMUSE_GROUPS.values() for label in group]
    assert len(set(labels)) == len(labels)


def test_labeled_voxels_get_the_class_of_their_label_and_others_one_by_intensity(scan: _Scan) -> None:
    image, labels = scan
    classes = anatomical_classes(image, brain=None, labels=labels, spacing=_SPACING)
    middle = classes[34, 36]
    assert [_name(middle[36 + reach]) for reach in (0, 12, 21)] == ["ventricles", "white matter", "cortex"]
    assert _name(middle[36 + 31]) in ("bright", "fat")
    assert classes[0, 0, 0] == AIR


def test_dark_voxels_are_told_apart_by_their_distance_from_the_brain(scan: _Scan) -> None:
    image, labels = scan
    classes = anatomical_classes(image, brain=None, labels=labels, spacing=_SPACING)
    assert _name(classes[34, 36, 36 + 25]) == "bone near the brain"
    far = anatomical_classes(image, brain=labels == 51, labels=None, spacing=_SPACING)
    assert _name(far[34, 36, 36 + 25]) == "bone"


def test_dark_voxels_of_the_folds_count_as_fluid_and_bright_ones_as_white_matter(scan: _Scan) -> None:
    image, labels = scan[0].copy(), scan[1]
    image[34, 36, 36 + 21], image[34, 36, 36 + 20] = 0.25, 0.66
    classes = anatomical_classes(image, brain=None, labels=labels, spacing=_SPACING)
    assert _name(classes[34, 36, 36 + 21]) == "other fluid"
    assert _name(classes[34, 36, 36 + 20]) == "white matter"


def test_each_label_of_an_unknown_map_is_a_class_of_its_own(scan: _Scan) -> None:
    image, labels = scan
    unknown = np.where(labels == 100, 1002, np.where(labels == 81, 2, np.where(labels == 51, 43, 0)))
    classes = anatomical_classes(image, brain=None, labels=unknown, spacing=_SPACING)
    found = [set(np.unique(classes[unknown == label])) for label in (2, 43, 1002)]
    assert [len(each) for each in found] == [1, 1, 1]
    assert len(set.union(*found)) == 3
    assert min(set.union(*found)) >= len(CLASSES)


def test_too_many_labels_are_refused(scan: _Scan) -> None:
    image, labels = scan
    with pytest.raises(UserError, match="labels"):
        anatomical_classes(image, brain=None, labels=np.arange(labels.size).reshape(labels.shape), spacing=_SPACING)


def test_a_brain_mask_alone_gives_classes_of_intensity_inside(scan: _Scan) -> None:
    image, labels = scan
    classes = anatomical_classes(image, brain=labels > 0, labels=None, spacing=_SPACING)
    inside = classes[labels > 0]
    assert [_name(number) for number in np.unique(inside)] == list(BRAIN_CLASSES)
    assert [_name(classes[labels == label][0]) for label in (51, 100, 81)] == list(BRAIN_CLASSES)
    assert not np.isin(classes[labels == 0], np.unique(inside)).any()


def test_tissues_get_the_levels_that_were_asked_for(scan: _Scan) -> None:
    image, labels = scan
    classes = anatomical_classes(image, brain=None, labels=labels, spacing=_SPACING)
    before = tissue_medians(image, classes)
    levelled = with_tissue_levels(image, classes, _LEVELS, spacing=(2.0, 2.0))
    np.testing.assert_allclose(before, (0.26, 0.5, 0.65), atol=0.01)
    np.testing.assert_allclose(tissue_medians(levelled, classes), _LEVELS[:3], atol=0.01)
    depth = 33 - np.sqrt(sum((axis - n / 2) ** 2 for axis, n in zip(np.indices(image.shape), image.shape, strict=True)))
    scalp = np.zeros(image.shape, bool)
    scalp[34] = ((depth > 1.2) & (depth < 2.8))[34]
    assert abs(np.median(levelled[scalp]) - _LEVELS[3]) < 0.03


def test_a_brain_mask_alone_tells_tissues_apart_well_enough_for_their_levels(scan: _Scan) -> None:
    image, labels = scan
    classes = anatomical_classes(image, brain=labels > 0, labels=None, spacing=_SPACING)
    levelled = with_tissue_levels(image, classes, _LEVELS, spacing=(2.0, 2.0))
    medians = [np.median(levelled[labels == label]) for label in (51, 100, 81)]
    np.testing.assert_allclose(medians, _LEVELS[:3], atol=0.01)


def test_levels_keep_the_order_of_intensities_within_the_brain(scan: _Scan) -> None:
    image, labels = scan
    classes = anatomical_classes(image, brain=None, labels=labels, spacing=_SPACING)
    levelled = with_tissue_levels(image, classes, _LEVELS, spacing=(2.0, 2.0))
    core = np.sqrt(sum((axis - n / 2) ** 2 for axis, n in zip(np.indices(image.shape), image.shape, strict=True))) < 20
    order = np.argsort(without_shading(image, classes == CLASSES.index("white matter"))[core])
    assert (np.diff(levelled[core][order]) > -1e-3).all()


def test_tissues_have_their_levels_wherever_they_lie(scan: _Scan) -> None:
    image, labels = scan
    classes = anatomical_classes(image, brain=None, labels=labels, spacing=_SPACING)
    shading = np.exp(-0.2 * np.linspace(-1, 1, len(image)))[:, None, None]
    levelled = with_tissue_levels((image * shading).astype(np.float32), classes, _LEVELS, spacing=(2.0, 2.0))
    cortex = [levelled[at][labels[at] == 100] for at in (slice(0, 20), slice(48, None))]
    np.testing.assert_allclose([np.median(each) for each in cortex], _LEVELS[1], atol=0.01)


def test_white_matter_of_the_cerebellum_tells_of_shading_too(scan: _Scan) -> None:
    image, labels = scan[0], scan[1].copy()
    low = np.zeros(image.shape, bool)
    low[:28] = labels[:28] == 81
    labels[low] = 41
    shading = np.exp(0.2 * np.linspace(-1, 1, len(image)))[:, None, None]
    classes = anatomical_classes(image, brain=None, labels=labels, spacing=_SPACING)
    levelled = with_tissue_levels((image * shading).astype(np.float32), classes, _LEVELS, spacing=(2.0, 2.0))
    assert np.median(levelled[low]) == pytest.approx(_LEVELS[2], abs=0.01)


def test_levels_of_a_scan_with_tissues_in_another_order_are_refused(scan: _Scan) -> None:
    image, labels = scan
    classes = anatomical_classes(image, brain=None, labels=labels, spacing=_SPACING)
    with pytest.raises(UserError, match="order"):
        with_tissue_levels(np.where(image > 0, 1 - image, 0), classes, _LEVELS, spacing=(2.0, 2.0))


def test_class_means_are_those_of_the_masks(scan: _Scan) -> None:
    image, labels = scan
    classes = anatomical_classes(image, brain=None, labels=labels, spacing=_SPACING)
    means = class_means(image, classes)
    for number in np.unique(classes):
        assert means[number] == pytest.approx(image[classes == number].mean(), abs=1e-5)


class TestLabelMapsOfAFolder:
    @pytest.fixture
    def folder(self, scan: _Scan, tmp_path: Path) -> Path:
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        for name in ("a", "b", "c"):
            nib.save(nib.Nifti1Image((scan[0] * 1000).astype(np.int16), affine), tmp_path / f"{name}_T1w.nii.gz")
        nib.save(nib.Nifti1Image(scan[1].astype(np.uint8), affine), tmp_path / "a_dlmuse.nii.gz")
        return tmp_path

    def test_a_map_that_is_missing_or_lies_elsewhere_is_said_and_done_without(
        self, folder: Path, scan: _Scan, capsys: pytest.CaptureFixture[str]
    ) -> None:
        elsewhere = np.diag([2.0, 2.0, 2.0, 1.0])
        elsewhere[2, 3] = 30
        nib.save(nib.Nifti1Image(scan[1].astype(np.uint8), elsewhere), folder / "b_dlmuse.nii.gz")
        subjects = find_subjects(folder, modality="T1w", brain_suffixes=("mask",), label_suffix="dlmuse")
        slices = read_slices(subjects, pixel_size=2.0, stride=8, levels=_LEVELS)
        said = capsys.readouterr().out
        assert "lies elsewhere" in said and "1 of 3 subjects (b)" in said
        assert "No label map" in said and "1 of 3 subjects (c)" in said
        third = len(slices) // 3
        white = CLASSES.index("white matter")
        shares = [[(slices[part * third + i].classes == white).any() for i in range(third)] for part in range(3)]
        assert [any(share) for share in shares] == [True, False, False]

    def test_labels_stored_with_a_scale_factor_are_rounded_not_cut(self, folder: Path, scan: _Scan) -> None:
        image = nib.Nifti1Image(scan[1].astype(np.float64), np.diag([2.0, 2.0, 2.0, 1.0]))
        image.set_data_dtype(np.int16)
        nib.save(image, folder / "a_dlmuse.nii.gz")
        subjects = find_subjects(folder, modality="T1w", brain_suffixes=("mask",), label_suffix="dlmuse")
        slices = read_slices(subjects[:1], pixel_size=2.0, stride=8)
        found = {number for index in range(len(slices)) for number in slices[index].classes.unique().tolist()}
        assert {CLASSES.index(name) for name in ("ventricles", "white matter", "cortex")} <= found
        assert max(found) < len(CLASSES)

    def test_a_scan_without_a_mask_or_labels_that_fit_counts_as_all_brain(self, folder: Path, scan: _Scan) -> None:
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        nib.save(nib.Nifti1Image((scan[1] > 0).astype(np.uint8), affine), folder / "b_mask.nii.gz")
        elsewhere = affine + 90 * np.eye(4, k=3)
        nib.save(nib.Nifti1Image(scan[1].astype(np.uint8), elsewhere), folder / "c_dlmuse.nii.gz")
        subjects = find_subjects(folder, modality="T1w", brain_suffixes=("mask",), label_suffix="dlmuse")
        is_all_brain = []
        for subject in subjects:
            slices = read_slices([subject], pixel_size=2.0, stride=8)
            batch = slices.batch([*range(len(slices))])
            is_all_brain.append(bool(batch.brains[batch.images > 0.1].all()))
        assert is_all_brain == [False, False, True]

    def test_an_empty_map_and_planes_without_a_head_are_said_and_done_without(
        self, folder: Path, scan: _Scan, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nib.save(nib.Nifti1Image(np.zeros(scan[0].shape, np.uint8), np.eye(4) * 2), folder / "a_dlmuse.nii.gz")
        low = nib.Nifti1Image((scan[0][:, :, 30:40] * 1000).astype(np.int16), np.diag([2.0, 2.0, 2.0, 1.0]))
        nib.save(low, folder / "b_T1w.nii.gz")
        subjects = find_subjects(folder, modality="T1w", brain_suffixes=("mask",), label_suffix="dlmuse")[:2]
        both = read_slices(subjects, pixel_size=2.0, stride=8, planes=("axial", "coronal"))
        said = capsys.readouterr().out
        assert "it is empty" in said and "1 of 2 subjects (a)" in said
        assert "No coronal slices, because The volume is too thin" in said and "1 of 2 subjects (b)" in said
        assert len(both) == len(read_slices(subjects[:1], pixel_size=2.0, stride=8, planes=("axial", "coronal"))) + 10

    def test_scans_that_show_no_head_are_refused(self, scan: _Scan, tmp_path: Path) -> None:
        wide = np.zeros((220, 220, 20), np.int16)
        wide[100:120, 100:120] = 500
        nib.save(nib.Nifti1Image(wide, np.diag([2.0, 2.0, 2.0, 1.0])), tmp_path / "a_T1w.nii.gz")
        with pytest.raises(UserError, match="enough of a head"):
            read_slices(find_subjects(tmp_path, modality="T1w", brain_suffixes=("mask",)), pixel_size=2.0, stride=8)

    def test_a_map_of_other_values_than_labels_is_said(
        self, folder: Path, scan: _Scan, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nib.save(nib.Nifti1Image(scan[0], np.diag([2.0, 2.0, 2.0, 1.0])), folder / "a_dlmuse.nii.gz")
        subjects = find_subjects(folder, modality="T1w", brain_suffixes=("mask",), label_suffix="dlmuse")
        read_slices(subjects[:1], pixel_size=2.0, stride=8)
        assert "other values than labels" in capsys.readouterr().out
