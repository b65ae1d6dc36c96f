"""The maps that condition the score network."""

import math

import pytest
import torch
from scipy import ndimage
from torch import Tensor

from LMIDiffusionLib.lmi import GaussianKernel, HistogramKernel, local_mutual_information
from LMIDiffusionLib.model.conditioning import MAPS, SOURCE_MAPS, Condition, sobel

SOFT = GaussianKernel(bandwidth=0.1)


def random_images(count: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 12, 11, generator=generator, dtype=torch.float64)


def labels_at_bin_centers(labels: Tensor, bins: int) -> Tensor:
    return (labels.double() + 0.5) / bins


@pytest.mark.parametrize("patch_size", [3, 5])
def test_lmi_maps_are_eq_1_divided_by_2_log_p(patch_size: int) -> None:
    source, noisy = random_images(2, seed=1), random_images(2, seed=2)
    condition = Condition(patch_sizes=(patch_size,), search_size=1, kernel=SOFT)
    maps = condition.all_maps(source, noisy)
    assert condition.channels == (f"self {patch_size}", f"cross {patch_size}")
    for channel, image in enumerate((source, noisy)):
        information = local_mutual_information(source, image, patch_size=patch_size, search_size=1, kernel=SOFT)
        torch.testing.assert_close(maps[:, [channel]], information / (2 * math.log(patch_size)), rtol=0, atol=1e-12)


def test_maps_of_hard_bins_lie_within_0_and_1_and_reach_1() -> None:
    condition = Condition(kernel=HistogramKernel(64))
    source, noise = random_images(2, seed=3), torch.randn(2, 1, 12, 11, dtype=torch.float64)
    for sigma in (0.0, 0.1, 50.0):
        cross = condition.noisy_maps(source, source + sigma * noise)
        assert -1e-12 <= float(cross.min()) <= float(cross.max()) <= 1 + 1e-12
    distinct = labels_at_bin_centers(torch.arange(64).view(1, 1, 8, 8), 64)
    assert float(condition.source_maps(distinct)[0, 0, 4, 4]) == pytest.approx(1, abs=1e-12)


def test_the_papers_maps_do_not_depend_on_a_relabeling_of_the_source() -> None:
    bins = 8
    condition = Condition(kernel=HistogramKernel(bins))
    labels = torch.randint(bins, (2, 1, 12, 11), generator=torch.Generator().manual_seed(4))
    permutation = torch.tensor([5, 2, 7, 0, 6, 1, 4, 3])
    source, recolored = (labels_at_bin_centers(each, bins) for each in (labels, permutation[labels]))
    noisy = random_images(2, seed=5)
    maps, others = condition.all_maps(source, noisy), condition.all_maps(recolored, noisy)
    torch.testing.assert_close(maps, others, rtol=0, atol=1e-12)


def test_the_channels_are_the_source_maps_followed_by_those_of_the_noisy_slice() -> None:
    condition = Condition(maps=("cross", "intensity", "sobel", "self"), patch_sizes=(5, 3), kernel=SOFT)
    source, noisy = random_images(1, seed=6), random_images(1, seed=7)
    assert condition.channels == ("self 5", "self 3", "sobel", "intensity", "cross 5", "cross 3")
    maps = dict(zip(condition.channels, condition.all_maps(source, noisy).unbind(1), strict=True))
    assert torch.equal(maps["intensity"], source[:, 0])
    assert torch.equal(maps["sobel"], sobel(source)[:, 0])
    for size in (3, 5):
        alone = Condition(patch_sizes=(size,), kernel=SOFT).all_maps(source, noisy)
        assert torch.equal(torch.stack([maps[f"self {size}"], maps[f"cross {size}"]], 1), alone)


@pytest.mark.parametrize("name", MAPS)
def test_a_map_follows_the_noisy_slice_if_and_only_if_it_is_the_cross_map(name: str) -> None:
    condition = Condition(maps=(name,), kernel=SOFT)
    source = random_images(1, seed=8)
    first, second = (condition.all_maps(source, random_images(1, seed=seed)) for seed in (9, 10))
    assert torch.equal(first, second) == (name in SOURCE_MAPS)
    assert first.shape == (1, len(condition.channels), 12, 11)


def test_sobel_is_scipys_gradient_and_1_at_a_step() -> None:
    image = random_images(1, seed=11)
    expected = sum((ndimage.sobel(image[0, 0].numpy(), axis, mode="nearest") / 4) ** 2 for axis in (0, 1)) ** 0.5
    torch.testing.assert_close(sobel(image)[0, 0], torch.from_numpy(expected))
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    assert torch.equal(sobel(step)[0, 0, :, 3:5], torch.ones(8, 2))


@pytest.mark.parametrize("maps", [(), ("self", "self"), ("edges",)])
def test_unknown_repeated_and_no_maps_are_refused(maps: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="maps"):
        Condition(maps=maps)


@pytest.mark.parametrize("sizes", [(), (1,), (4,), (3, 3), (-3,)])
def test_patch_sizes_that_have_no_information_no_center_or_a_double_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="patch"):
        Condition(patch_sizes=sizes)
