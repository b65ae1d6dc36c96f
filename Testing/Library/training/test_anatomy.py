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
