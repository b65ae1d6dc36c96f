"""Mappings that are fitted on the ground truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binned_statistic

from LMIDiffusionLib.baselines.oracles import NoLabelsError, Repainting, ToneMap

RNG = np.random.default_rng(0)


@pytest.fixture
def source() -> NDArray[np.float32]:
    return RNG.random((12, 14, 10)).astype(np.float32)


@pytest.fixture
def target(source: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(np.sin(7 * source) ** 2 + RNG.normal(0, 0.1, source.shape), 0, 1).astype(np.float32)


def test_a_tone_map_is_the_mean_target_of_each_intensity(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> None:
    mapped = ToneMap().fit(source, target, None).map(source)
    means, _, bins = binned_statistic(source.ravel(), target.ravel(), "mean", bins=256, range=(0, 1))
    np.testing.assert_allclose(mapped.ravel(), means[bins - 1], atol=1e-6)


def test_no_pixelwise_function_comes_closer_than_the_tone_map(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> None:
    error = np.square(ToneMap().fit(source, target, None).map(source) - target).mean()
    for other in (source, 1 - source, np.sin(7 * source) ** 2, np.full_like(source, target.mean())):
        assert error < np.square(other - target).mean()


def test_repainting_gives_each_tissue_its_true_mean_and_the_rest_a_tone_map(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> None:
    tissues = RNG.integers(0, 4, source.shape).astype(np.uint8)
    painted = Repainting().fit(source, target, tissues).map(source)
    for tissue in (1, 2, 3):
        np.testing.assert_allclose(painted[tissues == tissue], target[tissues == tissue].mean(), rtol=1e-5)
    outside = tissues == 0
    wanted = ToneMap().fit(source[outside], target[outside], None).map(source[outside])
    np.testing.assert_array_equal(painted[outside], wanted)


def test_repainting_without_labels_is_refused(source: NDArray[np.float32], target: NDArray[np.float32]) -> None:
    with pytest.raises(NoLabelsError, match="label map"):
        Repainting().fit(source, target, None)
