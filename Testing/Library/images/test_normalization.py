"""Properties of the intensity scale."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from LMIDiffusionLib.images.normalization import (
    head_mask,
    head_outlines,
    otsu_threshold,
    smoothed_within,
    to_unit_scale,
)
from LMIDiffusionLib.images.volume import Volume

# That a background is told not to be zero is the matter of test_background.py.
pytestmark = pytest.mark.filterwarnings("ignore::LMIDiffusionLib.errors.ScanWarning")

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"]


def scan_intensities(seed: int, *, air: int, contrast: tuple[float, float, float]) -> NDArray[np.float64]:
    """Air with Rician noise, three tissues and a tail of bright fat."""
    generator = np.random.default_rng(seed)
    tissues = [generator.normal(mean, 40, 8000) for mean in contrast]
    return np.concatenate(
        [generator.rayleigh(15, air), *tissues, generator.gamma(9, 150, 1500), generator.uniform(0, 300, 500)]
    )


@pytest.mark.parametrize("air", [2000, 20000, 100000])
@pytest.mark.parametrize("contrast", [(250, 600, 900), (1200, 800, 600), (700, 700, 720)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint16"])
def test_otsu_threshold_is_that_of_scikit_image_to_a_bin(
    air: int, contrast: tuple[float, float, float], dtype: str
) -> None:
    values = scan_intensities(0, air=air, contrast=contrast).astype(dtype)
    width = (float(values.max()) - float(values.min())) / 256
    # As floating point, of which scikit-image makes a histogram of 256 bins too.
    assert otsu_threshold(values) == pytest.approx(threshold_otsu(values.astype(np.float64)), abs=width)


def test_otsu_threshold_lies_between_two_values() -> None:
    values = np.repeat([-3.0, 7.0], [900, 100])
    assert -3 < otsu_threshold(values) < 7


def test_head_mask_is_above_seven_tenths_of_otsus_threshold(head: Volume) -> None:
    values = head.array.astype(np.float64)
    mask = head_mask(values)
    width = values.max() / 256
    threshold = 0.7 * threshold_otsu(values)
    assert mask.dtype == bool
    assert mask[values > threshold + width].all()
    assert not mask[values < threshold - width].any()


@pytest.mark.parametrize("factor", [1e-4, 0.37, 3.0, 4096.0, 1e9])
def test_scale_is_invariant_to_multiplication(head: Volume, factor: float) -> None:
    values = head.array.astype(np.float64)
    np.testing.assert_allclose(to_unit_scale(values * factor), to_unit_scale(values), atol=1e-6)


@pytest.mark.parametrize("shift", [-0.5, -700.0, -1e5])
def test_scale_is_invariant_to_a_shift_into_a_negative_background(head: Volume, shift: float) -> None:
    values = head.array.astype(np.float64)
    np.testing.assert_allclose(to_unit_scale(values + shift), to_unit_scale(values), atol=1e-6)


def test_scale_of_a_z_scored_volume_is_that_of_the_volume(head: Volume) -> None:
    values = head.array.astype(np.float64)
    z_scored = (values - values.mean()) / values.std()
    np.testing.assert_allclose(to_unit_scale(z_scored), to_unit_scale(values), atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scale_is_float32_in_the_unit_interval_and_the_same_for_every_dtype(head: Volume, dtype: str) -> None:
    values = np.round(head.array * (120 / head.array.max()))
    scaled = to_unit_scale(values.astype(dtype))
    assert scaled.dtype == np.float32
    assert scaled.shape == values.shape
    assert scaled.min() == 0
    assert 0.9 < scaled.max() <= 1
    np.testing.assert_array_equal(scaled, to_unit_scale(values))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_scale_of_signed_integers_with_a_negative_background(head: Volume, dtype: str) -> None:
    values = np.round(head.array * (120 / head.array.max()))
    np.testing.assert_array_equal(to_unit_scale((values - 100).astype(dtype)), to_unit_scale(values))


@pytest.mark.parametrize("seed", range(3))
def test_median_of_the_head_becomes_one_half(head: Volume, seed: int) -> None:
    values = np.abs(head.array + np.random.default_rng(seed).normal(0, 30, head.array.shape))
    assert np.median(to_unit_scale(values)[head_mask(values)]) == pytest.approx(0.5, abs=1e-6)


def test_scale_is_linear_below_its_upper_end(head: Volume) -> None:
    values = head.array.astype(np.float64)
    scale = 2 * np.median(values[head_mask(values)])
    assert (values > scale).any(), "the head has nothing to clip"
    np.testing.assert_allclose(to_unit_scale(values), np.minimum(values / scale, 1), atol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 15])
def test_a_few_voxels_far_below_zero_change_nothing_elsewhere(head: Volume, count: int) -> None:
    outliers = head.array.copy()
    outliers[0, 0, :count] = -32768
    np.testing.assert_allclose(to_unit_scale(outliers), to_unit_scale(head.array), atol=1e-6)


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_scale_leaves_its_input_as_it_was(head: Volume, dtype: str) -> None:
    values = head.array.astype(dtype) - 50
    before = values.copy()
    to_unit_scale(values)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("times", [10, 1000, 1e9])
def test_one_voxel_that_outshines_all_others_changes_no_other(head: Volume, times: float) -> None:
    spiked, others = head.array.astype(np.float64), np.ones(head.array.shape, np.bool_)
    spiked[20, 24, 10], others[20, 24, 10] = times * spiked.max(), False
    found, expected = to_unit_scale(spiked), to_unit_scale(head.array)
    assert found[20, 24, 10] == 1
    np.testing.assert_allclose(found[others], expected[others], atol=0.01)


@pytest.mark.parametrize("value", [-3.0, 0.0, 5.0])
def test_a_constant_volume_has_no_scale(value: float) -> None:
    with pytest.raises(ValueError, match="constant"):
        to_unit_scale(np.full((5, 6, 7), value))


@pytest.fixture
def ring() -> NDArray[np.float64]:
    """Slices (2, 60, 70) of a bright skin around dark fluid, in Rician noise with a few bright specks."""
    radius = np.hypot(*np.meshgrid(np.arange(60) - 30.0, np.arange(70) - 35.0, indexing="ij"))
    generator = np.random.default_rng(0)
    tissue = np.where((radius > 12) & (radius < 22), generator.uniform(0.2, 0.9, radius.shape), 0.0)
    slices = generator.rayleigh(0.01, (2, 60, 70)) + tissue
    slices[:, generator.integers(0, 6, 9), generator.integers(0, 70, 9)] = 1.0
    return slices


def test_outlines_hold_what_the_skin_encloses_and_a_margin(ring: NDArray[np.float64]) -> None:
    radius = np.hypot(*np.meshgrid(np.arange(60) - 30.0, np.arange(70) - 35.0, indexing="ij"))
    for outline in head_outlines(ring, ring):
        assert outline[radius < 22].all()
        assert outline[radius < 23].all()
        assert not outline[radius > 26].any(), "noise and specks are air"


def test_outlines_do_not_depend_on_the_unit_of_intensity(ring: NDArray[np.float64]) -> None:
    np.testing.assert_array_equal(head_outlines(ring, ring), head_outlines(700 * ring, 700 * ring))


def test_muscle_much_darker_than_fluid_belongs_to_the_head() -> None:
    volume = np.zeros((3, 40, 40))
    volume[:, 10:30, 5:35], volume[:, 15:25, 15:25] = 0.15, 1.0
    assert (head_outlines(volume, volume) >= (volume > 0)).all()
    assert head_outlines(volume, volume).mean() < 0.6


def test_a_slice_of_air_has_no_outline(ring: NDArray[np.float64]) -> None:
    assert not head_outlines(ring, np.full((1, 60, 70), 0.01)).any()


def test_smoothing_within_a_mask_knows_nothing_of_what_lies_outside() -> None:
    mask = np.zeros((2, 30, 40), bool)
    mask[:, 5:20, 10:] = True
    slices = np.where(mask, 0.3, 100.0)
    np.testing.assert_allclose(smoothed_within(slices, mask, sigma=1.5), np.where(mask, 0.3, 0), rtol=1e-5)


def test_smoothing_takes_the_noise_and_leaves_the_level() -> None:
    noisy = np.random.default_rng(0).rayleigh(0.01, (3, 60, 70))
    smooth = smoothed_within(noisy, np.ones(noisy.shape, bool), sigma=1.5)
    assert abs(smooth.mean() - noisy.mean()) < 0.01 * noisy.mean()
    # White noise through a Gaussian keeps 1 / (4 pi sigma^2) of its variance.
    assert abs(smooth.var() / noisy.var() - 1 / (4 * np.pi * 1.5**2)) < 0.01
