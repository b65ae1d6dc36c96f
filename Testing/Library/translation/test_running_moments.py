"""Mean and distance of samples that come in groups."""

import numpy as np
from numpy.typing import NDArray

from LMIDiffusionLib.translation.running_moments import RunningMoments


def _moments_of(group: NDArray[np.float32]) -> RunningMoments:
    mean = group.mean(0)
    return RunningMoments(np.full_like(mean, len(group)), mean, ((group - mean) ** 2).sum(0))


def test_groups_merge_to_the_mean_and_the_distance_of_all_samples() -> None:
    samples = np.random.default_rng(0).normal(3, 2, (7, 4, 5)).astype(np.float32)
    moments = RunningMoments(*np.zeros((3, 4, 5), np.float32))
    for group in (samples[:1], samples[1:4], samples[4:]):
        moments.merge(_moments_of(group))
    assert (moments.count == 7).all()
    np.testing.assert_allclose(moments.mean, samples.mean(0), rtol=1e-5)
    for point in (samples.mean(0), samples[0], np.zeros((4, 5), np.float32)):
        expected = np.sqrt(((samples - point) ** 2).mean(0))
        np.testing.assert_allclose(moments.distance_from(point), expected, rtol=1e-5)


def test_merging_a_group_without_samples_in_a_voxel_leaves_the_voxel_unchanged() -> None:
    moments = RunningMoments(*np.zeros((3, 2), np.float32))
    for count, mean in (([1, 0], [0.5, 0]), ([0, 1], [0, 0.7])):
        moments.merge(RunningMoments(*(np.array(each, np.float32) for each in (count, mean, [0, 0]))))
    np.testing.assert_allclose(moments.mean, [0.5, 0.7])
    np.testing.assert_allclose(moments.distance_from(np.zeros(2, np.float32)), [0.5, 0.7])
    none = RunningMoments(*np.zeros((3, 2), np.float32))
    np.testing.assert_array_equal(none.distance_from(np.ones(2, np.float32)), [0, 0])
