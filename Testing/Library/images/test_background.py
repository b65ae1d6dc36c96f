"""Properties of finding the background, and of the scale of scans where it is not zero."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from LMIDiffusionLib.errors import ScanWarning
from LMIDiffusionLib.images.background import with_zero_background
from LMIDiffusionLib.images.normalization import head_mask, to_unit_scale
from LMIDiffusionLib.images.volume import Volume

Array = NDArray[np.float64]


def masked(head: Volume) -> Array:
    """The head without what lies outside it, as whole numbers."""
    return np.where(head.array > 150, head.array.round(), 0).astype(np.float64)


def noisy(head: Volume) -> Array:
    """The head in Rician noise, as scanners store it."""
    parts = np.random.default_rng(0).normal(0, 12, (2, *head.array.shape))
    return np.asarray(np.hypot(head.array + parts[0], parts[1]).round().astype(np.float64))


def psnr(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(-10 * np.log10(np.mean((first - second) ** 2) + 1e-12))


@pytest.mark.parametrize("make", [masked, noisy])
def test_a_scan_with_air_at_zero_keeps_every_value_without_a_word(
    head: Volume, make: Callable[[Volume], Array], recwarn: pytest.WarningsRecorder
) -> None:
    np.testing.assert_array_equal(with_zero_background(make(head)), make(head))
    saturated = np.minimum(make(head), 255)
    np.testing.assert_array_equal(with_zero_background(saturated), saturated)
    assert not recwarn.list


@pytest.mark.parametrize("value", [-1, -100, -1000, -32768, -3.4028235e38, -1.7976931348623157e308, 32767, 3.4e38])
def test_any_fill_outside_a_mask_is_air(head: Volume, value: float) -> None:
    scan = masked(head)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)  # -1 is no more than noise
        filled = to_unit_scale(np.where(scan == 0, value, scan))
    np.testing.assert_allclose(filled, to_unit_scale(scan), atol=2e-3)


def test_a_fill_far_below_is_told_with_its_value(head: Volume) -> None:
    scan = masked(head)
    with pytest.warns(ScanWarning, match=r"-32768 count as air\.$"):
        to_unit_scale(np.where(scan == 0, -32768, scan))


@pytest.mark.parametrize("make", [masked, noisy])
@pytest.mark.parametrize("value", [-1000.0, -32768.0])
def test_columns_of_padding_leave_the_rest_as_it_is(
    head: Volume, make: Callable[[Volume], Array], value: float
) -> None:
    scan = make(head)
    scan[:2] = 0
    padded = scan.copy()
    padded[:2] = value
    with pytest.warns(ScanWarning):
        np.testing.assert_array_equal(with_zero_background(padded), scan)


@pytest.mark.parametrize("make", [masked, noisy])
@pytest.mark.parametrize("constant", [300.0, 1000.0, 30000.0, -700.0])
def test_a_constant_added_everywhere_is_taken_away(
    head: Volume, make: Callable[[Volume], Array], constant: float
) -> None:
    with pytest.warns(ScanWarning, match="counts as zero"):
        shifted = to_unit_scale(make(head) + constant)
    assert psnr(shifted, to_unit_scale(make(head))) > 40


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_volume_z_scored_inside_its_head_has_black_air_and_a_head_of_usual_brightness(
    head: Volume, dtype: str
) -> None:
    scan = masked(head)
    inside = scan > 0
    scored = np.where(inside, (scan - scan[inside].mean()) / scan[inside].std(), 0).astype(dtype)
    with pytest.warns(ScanWarning):
        scaled = to_unit_scale(scored)
    assert (scaled[~inside] == 0).all()
    assert np.median(scaled[head_mask(scaled)]) == pytest.approx(0.5, abs=1e-3)
    # Its darkest voxel is taken for zero, which it nearly is.
    assert psnr(scaled, to_unit_scale(scan)) > 20


def test_a_whole_volume_z_scored_is_shifted_to_its_own_air(head: Volume) -> None:
    for scan in (masked(head), noisy(head)):
        scored = (scan - scan.mean()) / scan.std()
        with pytest.warns(ScanWarning):
            scaled = to_unit_scale(scored)
        assert psnr(scaled, to_unit_scale(scan)) > 40


def test_a_fill_outside_a_z_scored_brain_is_air_and_the_brain_is_shifted(head: Volume) -> None:
    scan = masked(head)
    inside = scan > 0
    scored = np.where(inside, (scan - scan[inside].mean()) / scan[inside].std(), -32768)
    with pytest.warns(ScanWarning):
        scaled = to_unit_scale(scored)
    assert (scaled[~inside] == 0).all()
    assert psnr(scaled, to_unit_scale(scan)) > 20


def test_tissue_that_fills_the_field_of_view_is_not_taken_for_air(head: Volume) -> None:
    crop = masked(head)[10:30, 10:38, 5:15]
    assert crop.min() > 0
    np.testing.assert_array_equal(with_zero_background(crop), crop)


def test_a_binary_image_keeps_both_values_whatever_lies_at_its_border() -> None:
    image = np.ones((8, 9, 4))
    image[:2] = 0
    np.testing.assert_array_equal(with_zero_background(image), image)
    assert to_unit_scale(image).max() > 0
