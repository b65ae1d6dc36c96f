"""Shading taken out of training scans by what white matter shows of it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from LMIDiffusionLib.training.residual_bias import without_shading

_SHAPE = (40, 48, 36)
_WHITE, _GRAY = 0.62, 0.42


@pytest.fixture
def places() -> NDArray[np.float64]:
    """Coordinates (3, S, H, W) that are -1 and 1 at the ends of a volume."""
    return np.stack(np.meshgrid(*(np.linspace(-1, 1, count) for count in _SHAPE), indexing="ij"))


@pytest.fixture
def white(places: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.square(places).sum(0) < 0.5


@pytest.fixture
def flat(white: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A scan of white matter with a hole of another tissue, in gray matter, with noise."""
    noise = 0.01 * np.random.default_rng(0).standard_normal(_SHAPE)
    return (np.where(white, _WHITE, _GRAY) + noise).astype(np.float32)


@pytest.fixture
def shading(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brighter in the middle and below, as heads are in a coil."""
    return np.exp(-0.15 * places[0] - 0.2 * np.square(places).sum(0))


def test_white_matter_is_as_bright_everywhere_as_without_shading(
    flat: NDArray[np.float32], white: NDArray[np.bool_], shading: NDArray[np.float64]
) -> None:
    ratio = (without_shading((flat * shading).astype(np.float32), white) / flat)[white]
    assert np.ptp((flat * shading / flat)[white]) > 0.2
    np.testing.assert_allclose(ratio / np.median(ratio), 1, atol=0.01)


def test_other_tissue_within_it_loses_the_same_shading(
    flat: NDArray[np.float32], white: NDArray[np.bool_], shading: NDArray[np.float64]
) -> None:
    hole = np.zeros(_SHAPE, bool)
    hole[24:30, 20:28, 14:22] = True
    flat[hole] = _GRAY
    unshaded = without_shading((flat * shading).astype(np.float32), white & ~hole)
    assert np.median(unshaded[hole]) / np.median(unshaded[white & ~hole]) == pytest.approx(_GRAY / _WHITE, rel=0.02)


def test_the_median_of_white_matter_stays(
    flat: NDArray[np.float32], white: NDArray[np.bool_], shading: NDArray[np.float64]
) -> None:
    shaded = (flat * shading).astype(np.float32)
    assert np.median(without_shading(shaded, white)[white]) == pytest.approx(np.median(shaded[white]), rel=0.01)


def test_a_scan_without_shading_is_left_as_it_is(flat: NDArray[np.float32], white: NDArray[np.bool_]) -> None:
    np.testing.assert_allclose(without_shading(flat, white), flat, rtol=0.005)


def test_beyond_white_matter_the_shading_goes_on_as_at_its_ends(
    flat: NDArray[np.float32], white: NDArray[np.bool_], shading: NDArray[np.float64]
) -> None:
    field = (flat * shading).astype(np.float32) / without_shading((flat * shading).astype(np.float32), white)
    first, last = np.argwhere(white).min(0)[0], np.argwhere(white).max(0)[0]
    middle = field[:, _SHAPE[1] // 2, _SHAPE[2] // 2]
    np.testing.assert_allclose(middle[:first], middle[first], rtol=1e-5)
    np.testing.assert_allclose(middle[last + 1 :], middle[last], rtol=1e-5)


def test_misplaced_labels_do_not_bend_the_fit(
    flat: NDArray[np.float32], white: NDArray[np.bool_], shading: NDArray[np.float64]
) -> None:
    lesions = np.random.default_rng(1).random(_SHAPE) < 0.05
    shaded = (np.where(lesions, 0.3, flat) * shading).astype(np.float32)
    ratio = (without_shading(shaded, white) / np.where(lesions, 0.3, flat))[white]
    np.testing.assert_allclose(ratio / np.median(ratio), 1, atol=0.02)


def test_too_little_white_matter_leaves_the_scan_as_it_is(
    flat: NDArray[np.float32], shading: NDArray[np.float64]
) -> None:
    few = np.zeros(_SHAPE, bool)
    few[10:18, 10:18, 10:18] = True
    shaded = (flat * shading).astype(np.float32)
    np.testing.assert_array_equal(without_shading(shaded, few), shaded)
