"""Properties of reading masks and label maps: which values are inside, and on which grid."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from LMIDiffusionLib.errors import ScanWarning, UserError
from LMIDiffusionLib.images.masks import read_labels, read_mask
from LMIDiffusionLib.images.volume import Volume, save_nifti

Orientations = Callable[[Volume], Iterator[tuple[Volume, Callable[[NDArray[np.number]], NDArray[np.number]]]]]


@pytest.fixture
def brain(head: Volume) -> NDArray[np.bool_]:
    """An ellipsoid inside the head."""
    x, y, z = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in head.array.shape), indexing="ij")
    return np.asarray((x / 13) ** 2 + (y / 16) ** 2 + (z / 6) ** 2 < 1)


def saved(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> Path:
    save_nifti(path, Volume(array, affine))
    return path


@pytest.fixture
def reads(tmp_path: Path, head: Volume) -> Callable[..., NDArray[np.bool_]]:
    """Saves a mask, on the head's grid if not told otherwise, and reads it."""

    def read(array: NDArray[Any], affine: NDArray[np.float64] = head.affine) -> NDArray[np.bool_]:
        return read_mask(saved(tmp_path / "mask.nii.gz", array, affine), head)

    return read


@pytest.mark.parametrize("value", [1, 255, -1, 7])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_every_label_is_inside_without_a_word(
    reads: Any, brain: NDArray[np.bool_], value: int, dtype: str, recwarn: pytest.WarningsRecorder
) -> None:
    np.testing.assert_array_equal(reads((brain * value).astype(dtype)), brain)
    assert not recwarn.list


def test_probabilities_are_inside_from_one_half(reads: Any, brain: NDArray[np.bool_]) -> None:
    soft = ndimage.gaussian_filter(brain.astype(np.float32), 1.5)
    np.testing.assert_array_equal(reads(soft), soft >= 0.5)


def test_traces_and_nan_outside_are_outside(reads: Any, brain: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(reads(brain.astype(np.float32) + np.float32(1e-7)), brain)
    np.testing.assert_array_equal(reads(np.where(brain, 1, np.nan).astype(np.float32)), brain)


def test_a_stripped_brain_serves_as_a_mask_with_a_word(reads: Any, brain: NDArray[np.bool_], head: Volume) -> None:
    with pytest.warns(ScanWarning, match="neither probabilities nor labels"):
        np.testing.assert_array_equal(reads(brain * (head.array + np.float32(1.3))), brain)


def test_a_mask_in_any_orientation_of_the_same_space_is_the_same_mask(
    tmp_path: Path, head: Volume, brain: NDArray[np.bool_], orientations: Orientations
) -> None:
    marked = brain.copy()
    marked[:18] = False  # no symmetry hides a flip
    for turned, _ in orientations(Volume(marked.astype(np.uint8), head.affine)):
        path = saved(tmp_path / "mask.nii", turned.array, turned.affine)
        np.testing.assert_array_equal(read_mask(path, head), marked)


@pytest.mark.parametrize("shift", [1e-4, 0.02, 0.4])
def test_a_small_difference_of_the_origin_does_no_harm(reads: Any, brain: NDArray[np.bool_], shift: float) -> None:
    affine = nib.affines.from_matvec(np.eye(3), [shift, -shift, shift])
    np.testing.assert_array_equal(reads(brain.astype(np.uint8), affine @ _affine(reads)), brain)


def test_a_small_difference_of_the_origin_loses_nothing_at_the_border(reads: Any, head: Volume) -> None:
    slab = np.ones(head.array.shape, np.uint8)
    slab[:12] = 0
    for shift in (0.02, -0.02):
        affine = nib.affines.from_matvec(np.eye(3), [shift] * 3)
        with pytest.warns(ScanWarning, match="is it a mask of the brain"):
            np.testing.assert_array_equal(reads(slab, affine @ _affine(reads)), slab > 0)


def _affine(reads: Any) -> NDArray[np.float64]:
    affine: NDArray[np.float64] = reads.__defaults__[0]
    return affine


def test_a_mask_on_a_finer_cropped_grid_is_taken_over_by_nearest_neighbor(
    tmp_path: Path, head: Volume, brain: NDArray[np.bool_]
) -> None:
    fine = brain.repeat(2, 0).repeat(2, 1).repeat(2, 2)[10:, 6:-4]
    to_head = np.diag([0.5, 0.5, 0.5, 1.0])
    to_head[:3, 3] = [10 * 0.5 - 0.25, 6 * 0.5 - 0.25, -0.25]
    path = saved(tmp_path / "mask.nii", fine.astype(np.uint8), head.affine @ to_head)
    np.testing.assert_array_equal(read_mask(path, head), brain)


@pytest.mark.parametrize("case", ["far away", "header lost", "mirrored"])
def test_a_mask_elsewhere_in_space_is_refused(
    tmp_path: Path, head: Volume, brain: NDArray[np.bool_], case: str
) -> None:
    far = head.affine.copy()
    far[:3, 3] += 500
    affine = {"far away": far, "header lost": np.eye(4), "mirrored": np.diag([-1.0, 1, 1, 1]) @ far}[case]
    array = brain[:, :, 1:] if case == "far away" else brain
    path = saved(tmp_path / "mask.nii", array.astype(np.uint8), affine)
    with pytest.raises(UserError, match=r"does not overlap|lies elsewhere") as refusal:
        read_mask(path, head)
    assert str(path) in str(refusal.value)


def test_an_empty_mask_is_refused(reads: Any, brain: NDArray[np.bool_]) -> None:
    for array in (np.zeros(brain.shape, np.uint8), np.full(brain.shape, np.nan, np.float32)):
        with pytest.raises(UserError, match="is empty"):
            reads(array)


@pytest.mark.parametrize("kind", ["inverted", "ones", "beside"])
def test_a_mask_that_is_none_of_a_brain_is_questioned(reads: Any, brain: NDArray[np.bool_], kind: str) -> None:
    beside = np.zeros_like(brain)
    beside[:3, :3] = True
    mask = {"inverted": ~brain, "ones": np.ones_like(brain), "beside": beside}[kind]
    with pytest.warns(ScanWarning, match="is it a mask of the brain"):
        np.testing.assert_array_equal(reads(mask.astype(np.uint8)), mask)


def test_a_mask_of_the_whole_head_is_questioned_where_a_head_is_seen_and_one_of_a_stripped_brain_is_not(
    tmp_path: Path, head: Volume, brain: NDArray[np.bool_], recwarn: pytest.WarningsRecorder
) -> None:
    stripped = Volume(head.array * brain, head.affine)
    path = saved(tmp_path / "brain.nii", brain.astype(np.uint8), head.affine)
    np.testing.assert_array_equal(read_mask(path, stripped), brain)
    assert not recwarn.list
    large = np.diag([2.5, 2.5, 5.0, 1]) @ head.affine  # of 20 slices: so that it holds more than any brain
    outline = (head.array > 150).astype(np.uint8)
    with pytest.warns(ScanWarning, match=r"of the head; is it a mask of the brain"):
        read_mask(saved(tmp_path / "head.nii", outline, large), Volume(head.array, large))


def test_labels_stored_with_a_scale_factor_are_rounded(tmp_path: Path, head: Volume) -> None:
    labels = np.arange(head.array.size).reshape(head.array.shape) % 208
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(labels.astype(float), head.affine, header), tmp_path / "labels.nii.gz")
    stored: Any = nib.load(tmp_path / "labels.nii.gz")
    assert (np.asarray(stored.dataobj).astype(int) != labels).any(), "the file shows nothing"
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.nii.gz", head), labels)


@pytest.mark.parametrize("value", [-1, 1.5, 2.02])
def test_other_numbers_than_labels_are_refused(tmp_path: Path, head: Volume, value: float) -> None:
    labels = np.zeros(head.array.shape, np.float32)
    labels[3], labels[4] = 1, value
    with pytest.raises(UserError, match="other values than labels"):
        read_labels(saved(tmp_path / "labels.nii", labels, head.affine), head)
