"""Properties of the local mutual information maps, eq. 1."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor

from LMIDiffusionLib.lmi import GaussianKernel, HistogramKernel, PairKernel, local_mutual_information, tiles

Patch = np.ndarray[Any, Any]
HARD = HistogramKernel(bins=6)
SOFT = GaussianKernel(bandwidth=0.1)
KERNELS = pytest.mark.parametrize("kernel", [HARD, SOFT], ids=["histogram", "gaussian"])
SIZES = pytest.mark.parametrize(("patch_size", "search_size"), [(3, 1), (3, 3), (5, 3), (3, 5), (7, 3)])
SHAPES = pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 5), (5, 2), (3, 3), (6, 7)])


def random_images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Uniform in [-0.2, 1.2], to reach the outer bins too."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=dtype) * 1.4 - 0.2


def random_labels(*shape: int, bins: int, seed: int = 0) -> Tensor:
    return torch.randint(bins, shape, generator=torch.Generator().manual_seed(seed))


def at_bin_centers(labels: Tensor, bins: int) -> Tensor:
    return (labels.double() + 0.5) / bins


def naive_map(
    reference: Tensor, image: Tensor, patch_size: int, search_size: int, information: Callable[[Patch, Patch], float]
) -> Tensor:
    """Largest information between the patch at each pixel and the patches in its window, borders replicated."""
    reach, search = patch_size // 2, search_size // 2
    height, width = reference.shape[-2:]
    x = np.pad(reference[0, 0].numpy(), reach + search, mode="edge")
    y = np.pad(image[0, 0].numpy(), reach + search, mode="edge")
    result = torch.empty(1, 1, height, width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            top, left = row + search, column + search
            x_patch = x[top : top + patch_size, left : left + patch_size].ravel()
            result[0, 0, row, column] = max(
                information(x_patch, y[down : down + patch_size, right : right + patch_size].ravel())
                for down in range(top - search, top + search + 1)
                for right in range(left - search, left + search + 1)
            )
    return result


def bins_of(patch: Patch) -> Patch:
    return np.clip(np.floor(patch * HARD.bins), 0, HARD.bins - 1).astype(int)


def histogram_information(x: Patch, y: Patch) -> float:
    return float(mutual_info_score(bins_of(x), bins_of(y)))


def gaussian_information(x: Patch, y: Patch) -> float:
    total = 0.0
    for k in range(len(x)):
        kernel_x = np.exp(-((x[k] - x) ** 2) / (4 * SOFT.bandwidth**2))
        kernel_y = np.exp(-((y[k] - y) ** 2) / (4 * SOFT.bandwidth**2))
        total += np.log(np.mean(kernel_x * kernel_y) / (np.mean(kernel_x) * np.mean(kernel_y)))
    return total / len(x)


class TestAgainstTheDefinition:
    @SIZES
    def test_histogram_map_is_the_mutual_information_of_scikit_learn(self, patch_size: int, search_size: int) -> None:
        reference, image = random_images(2, 1, 1, 4, 4, seed=1).unbind()
        actual = local_mutual_information(reference, image, patch_size=patch_size, search_size=search_size, kernel=HARD)
        expected = naive_map(reference, image, patch_size, search_size, histogram_information)
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)

    @SIZES
    def test_gaussian_map_is_a_naive_loop_over_eq_1(self, patch_size: int, search_size: int) -> None:
        reference, image = random_images(2, 1, 1, 7, 5, seed=3).unbind()
        actual = local_mutual_information(reference, image, patch_size=patch_size, search_size=search_size, kernel=SOFT)
        expected = naive_map(reference, image, patch_size, search_size, gaussian_information)
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)

    @SHAPES
    @pytest.mark.parametrize(("patch_size", "search_size"), [(3, 3), (5, 1), (3, 5)])
    def test_any_image_size_works_and_replicates_borders(
        self, shape: tuple[int, int], patch_size: int, search_size: int
    ) -> None:
        reference, image = random_images(2, 1, 1, *shape, seed=5).unbind()
        actual = local_mutual_information(reference, image, patch_size=patch_size, search_size=search_size, kernel=SOFT)
        expected = naive_map(reference, image, patch_size, search_size, gaussian_information)
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)

    def test_default_kernel_has_a_bandwidth_of_8_gray_levels_and_a_3x3_patch_and_window(self) -> None:
        reference, image = random_images(2, 1, 1, 6, 6, seed=6).unbind()
        explicit = local_mutual_information(
            reference, image, patch_size=3, search_size=3, kernel=GaussianKernel(8 / 255)
        )
        assert torch.equal(local_mutual_information(reference, image), explicit)

    def test_gaussian_kernel_tends_to_the_histogram_kernel_as_its_width_vanishes(self) -> None:
        levels = random_labels(2, 1, 1, 8, 8, bins=4, seed=7)
        reference, image = at_bin_centers(levels, 4).unbind()
        soft = local_mutual_information(reference, image, kernel=GaussianKernel(1e-3))
        hard = local_mutual_information(reference, image, kernel=HistogramKernel(4))
        torch.testing.assert_close(soft, hard, rtol=0, atol=1e-12)

    def test_information_of_independent_samples_is_the_known_bias_of_the_histogram(self) -> None:
        bins, patch_size = 3, 7
        labels = random_labels(2, 40, 1, patch_size, patch_size, bins=bins, seed=8)
        reference, image = at_bin_centers(labels, bins).unbind()
        center = patch_size // 2
        information = local_mutual_information(
            reference, image, patch_size=patch_size, search_size=1, kernel=HistogramKernel(bins)
        )[..., center, center]
        bias = (bins - 1) ** 2 / (2 * patch_size**2)
        assert float(information.mean()) == pytest.approx(bias, rel=0.3)


class TestHardBins:
    """Exact properties of the mutual information of histograms."""

    @pytest.mark.parametrize("search_size", [1, 3, 5])
    def test_property_1_no_image_tells_more_about_a_reference_than_itself(self, search_size: int) -> None:
        reference, image = random_images(2, 4, 1, 12, 11, seed=10).unbind()
        cross = local_mutual_information(reference, image, search_size=search_size, kernel=HARD)
        itself = local_mutual_information(reference, reference, search_size=search_size, kernel=HARD)
        assert bool((cross <= itself + 1e-12).all())
        assert bool((cross < itself - 0.1).any())

    def test_information_is_between_0_and_the_smaller_entropy(self) -> None:
        reference, image = random_images(2, 4, 1, 12, 11, seed=11).unbind()
        cross, x_entropy, y_entropy = (
            local_mutual_information(a, b, search_size=1, kernel=HARD)
            for a, b in ((reference, image), (reference, reference), (image, image))
        )
        assert float(cross.min()) >= -1e-12
        assert bool((cross <= torch.minimum(x_entropy, y_entropy) + 1e-12).all())

    @pytest.mark.parametrize("search_size", [1, 3, 5])
    def test_self_map_is_the_entropy_map_whatever_the_window(self, search_size: int) -> None:
        image = random_images(1, 1, 7, 6, seed=12)
        actual = local_mutual_information(image, image, search_size=search_size, kernel=HARD)

        def entropy(x: Patch, _: Patch) -> float:
            share = np.unique(bins_of(x), return_counts=True)[1] / x.size
            return float(-(share * np.log(share)).sum())

        torch.testing.assert_close(actual, naive_map(image, image, 3, 1, entropy), rtol=0, atol=1e-12)

    def test_a_bijection_of_bin_labels_changes_nothing(self) -> None:
        bins = 5
        permutation = torch.tensor([3, 0, 4, 1, 2])
        reference, image = random_labels(2, 2, 1, 9, 8, bins=bins, seed=13).unbind()
        maps = [
            local_mutual_information(at_bin_centers(x, bins), at_bin_centers(y, bins), kernel=HistogramKernel(bins))
            for x, y in ((reference, image), (permutation[reference], image), (reference, permutation[image]))
        ]
        torch.testing.assert_close(maps[1], maps[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(maps[2], maps[0], rtol=0, atol=1e-12)

    def test_one_bin_carries_no_information(self) -> None:
        reference, image = random_images(2, 1, 1, 6, 6, seed=14).unbind()
        information = local_mutual_information(reference, image, kernel=HistogramKernel(1))
        torch.testing.assert_close(information, torch.zeros_like(information), rtol=0, atol=1e-12)

    def test_intensities_beyond_0_and_1_fall_into_the_outer_bins(self) -> None:
        reference, image = random_images(2, 1, 1, 8, 8, seed=15).unbind()
        inside = local_mutual_information(reference.clamp(0, 1), image.clamp(0, 1), kernel=HARD)
        assert torch.equal(local_mutual_information(reference, image, kernel=HARD), inside)


@KERNELS
class TestBothKernels:
    def test_information_is_symmetric_without_a_window(self, kernel: PairKernel) -> None:
        reference, image = random_images(2, 2, 1, 9, 8, seed=20).unbind()
        forth = local_mutual_information(reference, image, search_size=1, kernel=kernel)
        back = local_mutual_information(image, reference, search_size=1, kernel=kernel)
        torch.testing.assert_close(forth, back, rtol=0, atol=1e-12)

    def test_a_larger_window_never_gives_less(self, kernel: PairKernel) -> None:
        reference, image = random_images(2, 2, 1, 9, 8, seed=21).unbind()
        maps = [local_mutual_information(reference, image, search_size=size, kernel=kernel) for size in (1, 3, 5, 7)]
        for smaller, larger in pairwise(maps):
            assert bool((larger >= smaller - 1e-12).all())
            assert bool((larger > smaller).any())

    def test_information_is_at_most_2_log_p(self, kernel: PairKernel) -> None:
        for patch_size in (3, 5):
            distinct = torch.arange(100, dtype=torch.float64).view(1, 1, 10, 10)
            for image in (distinct, random_images(1, 1, 10, 10, seed=22)):
                information = local_mutual_information(image, image, patch_size=patch_size, kernel=kernel)
                assert float(information.max()) <= 2 * np.log(patch_size) + 1e-12

    @pytest.mark.parametrize("patch_size", [3, 5, 7])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_constant_image_gives_0(self, kernel: PairKernel, patch_size: int, dtype: torch.dtype) -> None:
        constant = torch.tensor([0, 0.3, 1e6], dtype=dtype).view(3, 1, 1, 1).expand(3, 1, 6, 5)
        textured = random_images(3, 1, 6, 5, seed=23, dtype=dtype)
        reference, image = torch.cat([constant, constant, textured]), torch.cat([constant, textured, constant])
        information = local_mutual_information(reference, image, patch_size=patch_size, search_size=1, kernel=kernel)
        torch.testing.assert_close(information, torch.zeros_like(information), rtol=0, atol=1e-5)

    def test_a_patch_of_one_pixel_gives_0(self, kernel: PairKernel) -> None:
        reference, image = random_images(2, 1, 1, 6, 5, seed=24).unbind()
        assert not local_mutual_information(reference, image, patch_size=1, kernel=kernel).any()

    def test_a_batch_equals_a_loop(self, kernel: PairKernel) -> None:
        reference, image = random_images(2, 3, 1, 9, 8, seed=25).unbind()
        batch = local_mutual_information(reference, image, kernel=kernel)
        loop = [local_mutual_information(reference[i, None], image[i, None], kernel=kernel) for i in range(3)]
        torch.testing.assert_close(batch, torch.cat(loop), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("tile_bytes", [1, 2_000_000])
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
    def test_tiles_do_not_change_the_map(
        self,
        kernel: PairKernel,
        tile_bytes: int,
        dtype: torch.dtype,
        tolerance: float,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        reference, image = random_images(2, 3, 1, 70, 55, seed=26, dtype=dtype).unbind()
        whole = local_mutual_information(reference, image, kernel=kernel)
        monkeypatch.setattr(tiles, "_CPU_TILE_BYTES", tile_bytes)
        tiled = local_mutual_information(reference, image, kernel=kernel)
        torch.testing.assert_close(tiled, whole, rtol=0, atol=tolerance)

    def test_threads_do_not_change_the_map(self, kernel: PairKernel) -> None:
        reference, image = random_images(2, 2, 1, 70, 55, seed=27, dtype=torch.float32).unbind()
        threads = torch.get_num_threads()
        maps = []
        for count in (1, 2):
            torch.set_num_threads(count)
            maps.append(local_mutual_information(reference, image, kernel=kernel))
        torch.set_num_threads(threads)
        torch.testing.assert_close(maps[1], maps[0], rtol=0, atol=1e-6)

    @pytest.mark.parametrize(("patch_size", "search_size"), [(3, 3), (5, 3), (3, 5)])
    def test_maps_shift_with_the_images_away_from_borders(
        self, kernel: PairKernel, patch_size: int, search_size: int
    ) -> None:
        reference, image = random_images(2, 1, 1, 16, 15, seed=27).unbind()
        reach = patch_size // 2 + search_size // 2
        whole, part = (
            local_mutual_information(x, y, patch_size=patch_size, search_size=search_size, kernel=kernel)
            for x, y in ((reference, image), (reference[..., 2:, 3:], image[..., 2:, 3:]))
        )
        torch.testing.assert_close(part[..., reach:, reach:], whole[..., 2 + reach :, 3 + reach :], rtol=0, atol=1e-12)

    def test_maps_turn_and_flip_with_the_images(self, kernel: PairKernel) -> None:
        reference, image = random_images(2, 1, 1, 9, 8, seed=28).unbind()
        expected = local_mutual_information(reference, image, kernel=kernel)
        moves: list[Callable[[Tensor], Tensor]] = [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.mT]
        for moved in moves:
            actual = local_mutual_information(moved(reference), moved(image), kernel=kernel)
            torch.testing.assert_close(actual, moved(expected), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("scale", [50.0, 1e6, 1e18])
    def test_intensities_far_out_of_range_stay_finite(self, kernel: PairKernel, scale: float) -> None:
        reference = random_images(2, 1, 12, 11, seed=29, dtype=torch.float32)
        noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(29))
        for image in (reference + scale * noise, reference + scale, -scale * reference):
            for x, y in ((reference, image), (image, reference), (image, image)):
                assert bool(local_mutual_information(x, y, kernel=kernel).isfinite().all())

    def test_large_float32_patches_stay_finite(self, kernel: PairKernel) -> None:
        smooth = torch.linspace(0, 1e-3, 16 * 16).view(1, 1, 16, 16)
        information = local_mutual_information(smooth, smooth, patch_size=9, search_size=1, kernel=kernel)
        assert bool(information.isfinite().all())

    def test_float32_agrees_with_float64(self, kernel: PairKernel) -> None:
        reference, image = random_images(2, 2, 1, 12, 11, seed=30, dtype=torch.float32).unbind()
        for patch_size in (3, 5):
            single = local_mutual_information(reference, image, patch_size=patch_size, kernel=kernel)
            double = local_mutual_information(reference.double(), image.double(), patch_size=patch_size, kernel=kernel)
            assert single.dtype == torch.float32
            torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-4)

    def test_inputs_stay_unchanged(self, kernel: PairKernel) -> None:
        reference, image = random_images(2, 1, 1, 6, 5, seed=31).unbind()
        before = reference.clone(), image.clone()
        local_mutual_information(reference, image, kernel=kernel)
        assert torch.equal(reference, before[0])
        assert torch.equal(image, before[1])


class TestGaussianKernel:
    def test_inverted_contrast_changes_nothing(self) -> None:
        reference, image = random_images(2, 1, 1, 9, 8, seed=40).unbind()
        maps = [
            local_mutual_information(x, y, kernel=SOFT)
            for x, y in ((reference, image), (1 - reference, image), (reference, 1 - image))
        ]
        torch.testing.assert_close(maps[1], maps[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(maps[2], maps[0], rtol=0, atol=1e-10)

    def test_bandwidth_scales_with_intensity(self) -> None:
        reference, image = random_images(2, 1, 1, 9, 8, seed=41).unbind()
        torch.testing.assert_close(
            local_mutual_information(100 * reference, 100 * image, kernel=GaussianKernel(3.0)),
            local_mutual_information(reference, image, kernel=GaussianKernel(0.03)),
            rtol=0,
            atol=1e-10,
        )

    def test_pure_noise_tells_of_a_reference_all_that_there_is(self) -> None:
        reference = random_images(1, 1, 40, 36, seed=43)
        noise = 1e6 * torch.randn(reference.shape, generator=torch.Generator().manual_seed(43), dtype=torch.float64)
        entropy = local_mutual_information(reference, torch.arange(40.0 * 36).double().view_as(reference), kernel=SOFT)
        information = local_mutual_information(reference, noise, kernel=SOFT)
        torch.testing.assert_close(information, entropy, rtol=0, atol=1e-9)
        assert entropy.std() > 0.01

    @pytest.mark.parametrize(("like", "constant"), [(np.s_[4:9, 4:9], np.s_[10:, 10:]), (np.s_[:18], np.s_[:0])])
    def test_noise_with_a_place_like_the_reference_is_searched_there(
        self, like: tuple[slice, ...], constant: tuple[slice, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tiles, "_BLOCK_SIZE", 4)
        reference, noise = random_images(2, 1, 1, 22, 13, seed=44).unbind()
        image = 1e4 * noise
        image[0, 0][like] = reference[0, 0][like]
        reference[0, 0][constant] = 0.5
        expected = naive_map(reference, image, 3, 3, gaussian_information)
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            actual = local_mutual_information(reference.to(dtype), image.to(dtype), kernel=SOFT)
            torch.testing.assert_close(actual.double(), expected, rtol=0, atol=tolerance)

    def test_cross_map_tends_to_the_self_map_as_noise_vanishes(self) -> None:
        reference = random_images(1, 1, 16, 15, seed=42)
        noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(42), dtype=torch.float64)
        itself = local_mutual_information(reference, reference, kernel=SOFT)
        errors = [
            float((local_mutual_information(reference, reference + sigma * noise, kernel=SOFT) - itself).abs().max())
            for sigma in (1e-1, 1e-2, 1e-3, 1e-4)
        ]
        assert errors == sorted(errors, reverse=True)
        assert errors[0] > 0.1
        assert errors[-1] < 1e-3


class TestInvalidInput:
    @pytest.mark.parametrize(
        ("reference", "image"),
        [
            (torch.zeros(5, 5), torch.zeros(5, 5)),
            (torch.zeros(1, 5, 5), torch.zeros(1, 5, 5)),
            (torch.zeros(1, 2, 5, 5), torch.zeros(1, 2, 5, 5)),
            (torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 5, 6)),
            (torch.zeros(1, 1, 5, 5), torch.zeros(2, 1, 5, 5)),
            (torch.zeros(1, 1, 5, 5), torch.zeros(5, 5)),
        ],
    )
    def test_shapes(self, reference: Tensor, image: Tensor) -> None:
        with pytest.raises(ValueError, match=r"\(B, 1, H, W\)"):
            local_mutual_information(reference, image)

    @pytest.mark.parametrize(
        ("reference", "image"),
        [
            (torch.float16, torch.float16),
            (torch.bfloat16, torch.bfloat16),
            (torch.int64, torch.int64),
            (torch.float32, torch.float64),
            (torch.float64, torch.float32),
        ],
    )
    def test_dtypes(self, reference: torch.dtype, image: torch.dtype) -> None:
        with pytest.raises(ValueError, match="float32 or float64"):
            local_mutual_information(torch.zeros(1, 1, 5, 5, dtype=reference), torch.zeros(1, 1, 5, 5, dtype=image))

    @pytest.mark.parametrize("size", [-1, 0, 2, 4])
    def test_sizes(self, size: int) -> None:
        image = torch.zeros(1, 1, 5, 5)
        with pytest.raises(ValueError, match="patch_size"):
            local_mutual_information(image, image, patch_size=size)
        with pytest.raises(ValueError, match="search_size"):
            local_mutual_information(image, image, search_size=size)

    @pytest.mark.parametrize("bandwidth", [0.0, -0.1])
    def test_bandwidth(self, bandwidth: float) -> None:
        with pytest.raises(ValueError, match="bandwidth"):
            GaussianKernel(bandwidth)

    @pytest.mark.parametrize("bins", [0, -3])
    def test_bins(self, bins: int) -> None:
        with pytest.raises(ValueError, match="bin"):
            HistogramKernel(bins)
