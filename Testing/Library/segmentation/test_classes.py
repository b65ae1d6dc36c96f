"""Properties of the K-Means classes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from LMIDiffusionLib.segmentation.classes import (
    TISSUES,
    fit_centers,
    named_centers,
    nearest_center,
    segment_classes,
    segment_tissues,
)

CLUSTERS = pytest.mark.parametrize("n_clusters", [2, 3, 5, 7])


@pytest.fixture(scope="module")
def training_intensities() -> NDArray[np.float64]:
    generator = np.random.default_rng(0)
    means = (0.02, 0.2, 0.38, 0.52, 0.7)
    return np.clip(np.concatenate([generator.normal(mean, 0.04, 600) for mean in means]), 0, 1).reshape(50, -1)


@pytest.fixture(scope="module")
def unseen_intensities() -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(-0.1, 1.2, (7, 8, 9))


@CLUSTERS
def test_centers_are_sorted_and_as_many_as_asked(training_intensities: NDArray[np.float64], n_clusters: int) -> None:
    centers = fit_centers(training_intensities, count=n_clusters)
    assert centers.shape == (n_clusters,)
    assert (np.diff(centers) > 0).all()


def test_centers_find_well_separated_groups() -> None:
    generator = np.random.default_rng(2)
    means = np.array([0.1, 0.4, 0.9])
    values = (means + generator.normal(0, 0.01, (400, 3))).ravel()
    np.testing.assert_allclose(fit_centers(values, count=3), means, atol=5e-3)


@CLUSTERS
def test_labels_are_those_of_the_nearest_center(
    training_intensities: NDArray[np.float64], unseen_intensities: NDArray[np.float64], n_clusters: int
) -> None:
    centers = fit_centers(training_intensities, count=n_clusters)
    labels = nearest_center(unseen_intensities, centers)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.abs(unseen_intensities[..., None] - centers).argmin(-1))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_nearest_center_of_uneven_centers_for_every_dtype(dtype: str) -> None:
    centers = np.array([-40.0, 0.3, 7.1, 90.0])
    values = np.random.default_rng(3).uniform(-100, 200, (40, 50)).astype(dtype)
    np.testing.assert_array_equal(nearest_center(values, centers), np.abs(values[..., None] - centers).argmin(-1))


@CLUSTERS
def test_labels_are_those_of_scikit_learn_up_to_the_order(
    training_intensities: NDArray[np.float64], unseen_intensities: NDArray[np.float64], n_clusters: int
) -> None:
    reference = KMeans(n_clusters, n_init=4, random_state=0).fit(training_intensities.reshape(-1, 1))
    rank = reference.cluster_centers_.ravel().argsort().argsort()
    expected = rank[reference.predict(unseen_intensities.reshape(-1, 1))].reshape(unseen_intensities.shape)
    centers = fit_centers(training_intensities, count=n_clusters)
    np.testing.assert_array_equal(nearest_center(unseen_intensities, centers), expected)


def test_the_same_seed_gives_the_same_centers(training_intensities: NDArray[np.float64]) -> None:
    first, second = (fit_centers(training_intensities, count=5, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("count", [3, 5])
def test_classes_without_a_mask_run_from_one_at_the_darkest_to_k(count: int) -> None:
    centers = np.linspace(0.1, 0.9, count)
    image = np.random.default_rng(4).uniform(0, 1, (6, 7, 8)).astype(np.float32)
    segmentation = segment_classes(image, centers)
    assert segmentation.labels.dtype == np.uint8
    assert set(np.unique(segmentation.labels)) == set(range(1, count + 1))
    np.testing.assert_array_equal(segmentation.labels, np.abs(image[..., None] - centers).argmin(-1) + 1)


@pytest.mark.parametrize("count", [3, 5])
def test_classes_without_a_mask_are_numbered_and_claim_no_tissue(count: int) -> None:
    segmentation = segment_classes(np.zeros((2, 2, 2)), np.linspace(0.1, 0.9, count))
    assert segmentation.names == tuple(f"Class {number}" for number in range(1, count + 1))


def test_tissues_are_one_to_three_inside_the_mask_and_zero_outside() -> None:
    generator = np.random.default_rng(5)
    centers, image, brain = np.array([0.2, 0.45, 0.65]), generator.uniform(0, 1, (6, 7, 8)), generator.random((6, 7, 8))
    segmentation = segment_tissues(image, dict(zip(TISSUES, centers.tolist(), strict=True)), brain > 0.5)
    assert segmentation.labels.dtype == np.uint8
    assert set(np.unique(segmentation.labels[brain > 0.5])) == {1, 2, 3}
    assert not segmentation.labels[brain <= 0.5].any()
    expected = np.abs(image[..., None] - centers).argmin(-1) + 1
    np.testing.assert_array_equal(segmentation.labels[brain > 0.5], expected[brain > 0.5])


@pytest.mark.parametrize(
    ("from_dark", "labels"),
    [(("CSF", "gray matter", "white matter"), [1, 2, 3]), (("white matter", "gray matter", "CSF"), [3, 2, 1])],
    ids=["T1w", "T2w"],
)
def test_tissues_go_by_their_names_whatever_the_order_in_which_they_brighten(
    from_dark: tuple[str, ...], labels: list[int]
) -> None:
    centers = named_centers(np.array([0.2, 0.45, 0.65]), from_dark)
    segmentation = segment_tissues(np.array([[[0.1, 0.5, 0.7]]]), centers, np.ones((1, 1, 3), dtype=bool))
    assert segmentation.names == TISSUES == ("CSF", "gray matter", "white matter")
    assert segmentation.labels.ravel().tolist() == labels
    assert [segmentation.names[label - 1] for label in labels] == list(from_dark)
