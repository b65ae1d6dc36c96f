from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from LMIDiffusionLib.benchmark import metrics


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((3, 40, 31)).astype(np.float32)


@pytest.fixture
def noisy(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 0.1, images.shape)
    return np.clip(images + noise, 0, 1).astype(np.float32)


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 5, (4, 16, 12))


def test_psnr_equals_scikit_image(images: np.ndarray, noisy: np.ndarray) -> None:
    expected = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(images, noisy, strict=True)]
    np.testing.assert_allclose(metrics.psnr(noisy, images), expected, atol=1e-6)


def test_psnr_of_a_constant_offset_is_its_level_in_decibels(images: np.ndarray) -> None:
    np.testing.assert_allclose(metrics.psnr(images.astype(float) + 0.05, images), -20 * np.log10(0.05), atol=1e-6)


def test_psnr_of_equal_slices_is_infinite(images: np.ndarray) -> None:
    assert np.isposinf(metrics.psnr(images, images)).all()


def test_ssim_equals_scikit_image(images: np.ndarray, noisy: np.ndarray) -> None:
    expected = [
        structural_similarity(a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for a, b in zip(images.astype(float), noisy.astype(float), strict=True)
    ]
    np.testing.assert_allclose(metrics.mean_over(metrics.ssim_map(noisy, images)), expected, atol=1e-6)


def test_ssim_of_equal_slices_is_one(images: np.ndarray) -> None:
    np.testing.assert_allclose(metrics.mean_over(metrics.ssim_map(images, images)), 1)


def test_a_single_slice_gives_a_single_score(images: np.ndarray, noisy: np.ndarray) -> None:
    assert metrics.mean_over(metrics.ssim_map(images[:1], noisy[:1])).shape == (1,)


def test_mean_absolute_error_of_a_constant_offset_is_the_offset(images: np.ndarray) -> None:
    np.testing.assert_allclose(metrics.mean_absolute_error(images.astype(float) - 0.2, images), 0.2)


def test_agreement_counts_equal_pixels_background_included(labels: np.ndarray) -> None:
    other = labels.copy()
    other[:, 0] = (other[:, 0] + 1) % 5
    np.testing.assert_allclose(metrics.label_agreement(labels, other), 15 / 16)


def test_dice_equals_the_definition_by_sets(labels: np.ndarray) -> None:
    other = np.roll(labels, 1, axis=0)
    for index in range(len(labels)):
        first = set(map(tuple, np.argwhere(labels[index] == 2)))
        second = set(map(tuple, np.argwhere(other[index] == 2)))
        expected = 2 * len(first & second) / (len(first) + len(second))
        assert metrics.dice(labels, other, 2)[index] == pytest.approx(expected)


def test_dice_is_symmetric_and_one_on_itself(labels: np.ndarray) -> None:
    other = labels[::-1]
    np.testing.assert_array_equal(metrics.dice(labels, other, 1), metrics.dice(other, labels, 1))
    np.testing.assert_array_equal(metrics.dice(labels, labels, 1), 1)


def test_dice_of_a_label_in_neither_map_is_not_a_number(labels: np.ndarray) -> None:
    assert np.isnan(metrics.dice(labels, labels, 9)).all()


def test_macro_dice_is_the_mean_of_the_classes_present_without_background() -> None:
    first = np.array([[[0, 1, 1, 2]]])
    second = np.array([[[0, 1, 2, 2]]])
    assert metrics.macro_dice(first, second, classes=5)[0] == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_macro_dice_of_background_alone_is_not_a_number() -> None:
    assert np.isnan(metrics.macro_dice(np.zeros((1, 2, 2), int), np.zeros((1, 2, 2), int), classes=5))[0]


class TestFlicker:
    volume = np.random.default_rng(0).random((7, 6, 5)).cumsum(0)

    def test_flicker_of_the_target_itself_is_one_scales_with_contrast_and_ignores_shifts(self) -> None:
        for other, expected in ((self.volume, 1), (0.5 * self.volume, 0.5), (self.volume + 3, 1)):
            np.testing.assert_allclose(metrics.flicker(other, self.volume)[1:-1], expected)

    def test_a_steady_ramp_through_the_slices_is_none(self) -> None:
        ramp = np.arange(7.0)[:, None, None] * np.ones((6, 5))
        np.testing.assert_allclose(metrics.flicker(ramp, self.volume)[1:-1], 0, atol=1e-12)

    def test_grows_when_slices_alternate(self) -> None:
        alternating = self.volume + (-1.0) ** np.arange(7)[:, None, None]
        assert (metrics.flicker(alternating, self.volume)[1:-1] > 1).all()

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_the_first_and_the_last_slice_have_none(self, count: int) -> None:
        values = metrics.flicker(self.volume[:count], self.volume[:count])
        np.testing.assert_array_equal(np.isnan(values), [True, False, True] if count == 3 else [True] * count)


class TestRegions:
    measures = (metrics.psnr, metrics.mean_absolute_error)

    @pytest.fixture
    def middle(self, images: np.ndarray) -> np.ndarray:
        region = np.zeros(images.shape, bool)
        region[:, 8:30, 7:22] = True
        return region

    @pytest.mark.parametrize("measure", measures)
    def test_pixels_outside_the_region_do_not_count(
        self, images: np.ndarray, noisy: np.ndarray, middle: np.ndarray, measure: Callable[..., NDArray[np.float64]]
    ) -> None:
        inside = measure(noisy, images, middle)
        np.testing.assert_allclose(inside, measure(noisy[:, 8:30, 7:22], images[:, 8:30, 7:22]))
        np.testing.assert_array_equal(measure(np.where(middle, noisy, 0), images, middle), inside)

    def test_labels_outside_do_not_count(self, labels: np.ndarray) -> None:
        other, region = labels[::-1], np.zeros(labels.shape, bool)
        region[:, 2:9, 3:10] = True
        cut, other_cut = labels[:, 2:9, 3:10], other[:, 2:9, 3:10]
        np.testing.assert_allclose(
            metrics.label_agreement(labels, other, region), metrics.label_agreement(cut, other_cut)
        )
        np.testing.assert_allclose(
            metrics.macro_dice(labels, other, region, classes=5), metrics.macro_dice(cut, other_cut, classes=5)
        )

    def test_a_slice_without_region_has_no_score(self, images: np.ndarray, middle: np.ndarray) -> None:
        middle[1] = False
        assert np.isnan(metrics.psnr(images, images, middle)).tolist() == [False, True, False]

    def test_the_error_of_a_slice_is_shared_out_among_regions(
        self, images: np.ndarray, noisy: np.ndarray, middle: np.ndarray
    ) -> None:
        parts = [
            metrics.mean_absolute_error(noisy, images, region) * region.sum((1, 2)) for region in (middle, ~middle)
        ]
        whole = metrics.mean_absolute_error(noisy, images) * images[0].size
        np.testing.assert_allclose(sum(parts), whole)

    def test_correlation_equals_scipy_whatever_lies_outside(
        self, images: np.ndarray, noisy: np.ndarray, middle: np.ndarray
    ) -> None:
        expected = pearsonr(images[middle], noisy[middle]).statistic
        assert metrics.correlation(np.where(middle, noisy, 9), images, middle) == pytest.approx(expected, abs=1e-6)
        assert np.isnan(metrics.correlation(np.zeros_like(images), images, middle))


class TestExpectedError:
    region = np.ones((2, 40, 50), bool)
    expected = np.random.default_rng(0).uniform(0.02, 0.2, region.shape)
    target = np.full(region.shape, 0.5)
    errors = np.random.default_rng(1).normal(0, 1, region.shape) * expected

    def test_normal_errors_lie_within_twice_the_expected_error_in_95_percent(self) -> None:
        assert metrics.coverage(self.target + self.errors, self.target, self.expected, self.region) == pytest.approx(
            0.9545, abs=0.01
        )
        assert metrics.coverage(self.target + 5, self.target, self.expected, self.region) == 0
        assert np.isnan(metrics.coverage(self.target, self.target, self.expected, ~self.region))

    def test_the_rank_correlation_is_that_of_scipy_and_1_for_an_exact_expectation(self) -> None:
        none = 1e-6  # pixels
        found = metrics.error_rank_correlation(
            self.target + self.errors, self.target, self.expected, self.region, sigma=none
        )
        assert found == pytest.approx(spearmanr(np.abs(self.errors).ravel(), self.expected.ravel()).statistic, abs=1e-6)
        exact = metrics.error_rank_correlation(
            self.target - self.expected, self.target, self.expected, self.region, sigma=2.0
        )
        assert exact == pytest.approx(1, abs=1e-6)

    def test_a_constant_expectation_has_no_rank_correlation(self) -> None:
        constant = np.full(self.region.shape, 0.1)
        assert np.isnan(
            metrics.error_rank_correlation(self.target + self.errors, self.target, constant, self.region, sigma=1.0)
        )


class TestGradientEnergy:
    ramp = np.tile(np.linspace(0, 1, 20), (2, 16, 1))

    def test_the_target_itself_has_one_and_twice_its_contrast_four(self) -> None:
        everywhere = np.ones(self.ramp.shape, bool)
        for factor in (1, 2, 0.5):
            assert metrics.gradient_energy(factor * self.ramp, self.ramp, everywhere) == pytest.approx(factor**2)

    def test_falls_when_an_image_is_smoothed_and_grows_with_noise(self, images: np.ndarray, noisy: np.ndarray) -> None:
        everywhere = np.ones(images.shape, bool)
        smooth = (images + np.roll(images, 1, 1)) / 2
        assert metrics.gradient_energy(smooth, images, everywhere) < 0.8
        assert (
            metrics.gradient_energy(self.ramp + 0.1 * np.resize(noisy, self.ramp.shape), self.ramp, self.ramp >= 0) > 2
        )

    def test_edges_outside_the_region_do_not_count(self) -> None:
        step = self.ramp.copy()
        step[:, :, 15:] += 5
        region = np.zeros(self.ramp.shape, bool)
        region[:, :, 2:12] = True
        assert metrics.gradient_energy(step, self.ramp, region) == pytest.approx(1)


class TestToneMatching:
    @pytest.fixture
    def region(self, images: np.ndarray) -> np.ndarray:
        region = np.ones(images.shape, bool)
        region[:, :3] = False
        return region

    def test_undoes_a_rising_tone_curve(self, images: np.ndarray, region: np.ndarray) -> None:
        matched = metrics.tone_matched(np.sqrt(images), images, region)
        np.testing.assert_allclose(matched[region], images[region], atol=1e-4)

    def test_cannot_undo_an_inverted_contrast(self, images: np.ndarray, region: np.ndarray) -> None:
        matched = metrics.tone_matched(1 - images, images, region)
        np.testing.assert_allclose(matched[region], images[region].mean(), atol=1e-3)

    def test_never_lies_farther_from_the_target_than_before(
        self, images: np.ndarray, noisy: np.ndarray, region: np.ndarray
    ) -> None:
        for image in (noisy, 0.5 * noisy + 0.2):
            matched = metrics.tone_matched(image, images, region)
            assert np.square(matched - images)[region].mean() <= np.square(image - images)[region].mean() + 1e-9

    def test_keeps_the_order_of_intensities_and_all_that_lies_outside(
        self, images: np.ndarray, noisy: np.ndarray, region: np.ndarray
    ) -> None:
        matched = metrics.tone_matched(noisy, images, region)
        order = np.argsort(noisy[region], kind="stable")
        rounding = np.finfo(np.float32).eps  # of the interpolation between two steps of the curve
        assert (np.diff(matched[region][order]) >= -rounding).all()
        np.testing.assert_array_equal(matched[~region], noisy[~region])
