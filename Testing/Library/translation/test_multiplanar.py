"""Samples in the planes that a network has learned."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from drawing import samples_in_plane
from grids import affine_of, rotation
from numpy.typing import NDArray
from torch import Tensor

from LMIDiffusionLib.images.planes import PLANES
from LMIDiffusionLib.images.slice_grid import SliceGrid
from LMIDiffusionLib.images.volume import Volume, read_volume
from LMIDiffusionLib.interface.progress import Progress
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.multiplanar import own_plane, share_samples
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import translate
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume
from LMIDiffusionLib.translation.translate_volume import translate_slices

Orientations = Callable[[Volume], Iterator[tuple[Volume, Callable[[NDArray[np.number]], NDArray[np.number]]]]]
HeadMaker = Callable[[tuple[int, int, int], NDArray[np.float64]], Volume]
Centered = Callable[[tuple[int, int, int], tuple[float, float, float]], NDArray[np.float64]]


@pytest.fixture(scope="module")
def tall(head_on: HeadMaker, centered: Centered) -> Volume:
    """A head of 104 mm from below to above, 2 mm."""
    return head_on((36, 40, 52), centered((36, 40, 52), (2.0, 2.0, 2.0)))


@pytest.fixture
def method(tiny_checkpoint: Checkpoint) -> LMIDiffusion:
    return LMIDiffusion(dataclasses.replace(tiny_checkpoint, planes=tuple(PLANES)), device=torch.device("cpu"))


class TestPlanes:
    @pytest.mark.parametrize("plane", PLANES)
    def test_slices_of_a_plane_equal_the_permuted_array_in_every_orientation(
        self, plane: str, orientations: Orientations
    ) -> None:
        array = np.random.default_rng(0).normal(size=(21, 19, 18)).astype(np.float32)
        expected = np.moveaxis(array.transpose(PLANES[plane]), 2, 0)
        for volume, _ in orientations(Volume(array, affine_of((2.0, 2.0, 2.0)))):
            grid = SliceGrid(volume.array.shape, volume.affine, pixel_size=2.0).in_plane(plane)
            np.testing.assert_array_equal(grid.slices(volume.array)[:, 0].numpy(), expected)
            np.testing.assert_array_equal(grid.volume(grid.plane_slices(volume.array)), volume.array)

    def test_another_plane_shows_the_same_volume_on_the_same_scale(self, tall: Volume) -> None:
        source = SlicedVolume.from_volume(tall, pixel_size=2.0)
        coronal = source.in_plane("coronal")
        assert coronal.slices.shape == (40, 1, 36, 52)
        np.testing.assert_array_equal(coronal.grid.volume(coronal.plane_slices), source.scaled)
        assert coronal.otsu == source.otsu

    def test_all_planes_use_the_head_outline_of_the_axial_slices(self) -> None:
        volume = read_volume(sample_scan("ms_patient04_T2w"))
        source = SlicedVolume.from_volume(volume, pixel_size=2.0)
        coronal = source.in_plane("coronal")
        heads = [
            cut.grid.volume(cut.grid.to_plane(cut.outlines(list(range(cut.grid.slice_count))).float())) >= 0.5
            for cut in (source, coronal)
        ]
        assert (heads[0] != heads[1]).mean() < 0.002
        own = SlicedVolume(source.scaled, coronal.grid).outlines(list(range(coronal.grid.slice_count)))
        assert (own != coronal.outlines(list(range(coronal.grid.slice_count)))).float().mean() > 0.01


class TestCuts:
    def _planes_of(self, volume: Volume, **options: Any) -> list[tuple[int, int]]:
        source = SlicedVolume.from_volume(volume, pixel_size=2.0)
        found = share_samples(source, source.head_slices(), tuple(PLANES), TranslationOptions(**options))
        return [(source.in_plane(cut.plane).grid.slice_count, cut.samples) for cut in found]

    def test_samples_alternate_between_axial_and_the_other_planes(self, tall: Volume) -> None:
        assert self._planes_of(tall, samples=1) == [(52, 1)]
        assert self._planes_of(tall, samples=2) == [(52, 1), (40, 1)]
        assert self._planes_of(tall, samples=7) == [(52, 4), (40, 2), (36, 1)]

    def test_the_first_sample_of_a_thick_slice_scan_is_in_its_own_plane(
        self, head_on: HeadMaker, centered: Centered
    ) -> None:
        sagittal = head_on((20, 60, 60), centered((20, 60, 60), (5.0, 2.0, 2.0)))
        assert self._planes_of(sagittal, samples=1) == [(20, 1)]
        assert self._planes_of(sagittal, samples=4) == [(20, 2), (60, 1), (60, 1)]

    def test_a_thick_slice_slab_is_sampled_in_its_own_plane_alone(self, head_on: HeadMaker, centered: Centered) -> None:
        slab = head_on((8, 60, 60), centered((8, 60, 60), (5.0, 2.0, 2.0)))
        assert self._planes_of(slab, samples=4) == [(8, 4)]
        thin_slab = head_on((20, 60, 60), centered((20, 60, 60), (2.0, 2.0, 2.0)))
        assert self._planes_of(thin_slab, samples=4) == [(20, 4)]

    @pytest.mark.parametrize("spacing", [0.95, 1.25, 2.0])
    def test_oblique_isotropic_scans_count_as_axial(
        self, head_on: HeadMaker, centered: Centered, spacing: float
    ) -> None:
        shape = (round(84 / spacing), round(84 / spacing), round(104 / spacing))
        affine = centered(shape, (spacing, spacing, spacing))
        array = head_on(shape, affine).array
        for degrees in (7, 13, 21):
            turned = (rotation((1, 2, 3), degrees) @ affine).astype(np.float32)
            source = SlicedVolume.from_volume(Volume(array, turned.astype(np.float64)), pixel_size=2.0)
            assert share_samples(source, [0], tuple(PLANES), TranslationOptions(samples=2))[0].plane == "axial"

    @pytest.mark.parametrize("plane", PLANES)
    def test_draws_are_slices_of_the_scans_own_plane(self, tall: Volume, centered: Centered, plane: str) -> None:
        spacing = np.array([2.0, 2.0, 2.0])
        spacing[PLANES[plane][2]] = 5.0
        across, along, up = spacing.tolist()
        shape = (int(80 / across), int(80 / along), int(104 / up))
        affine = centered(shape, (across, along, up))
        source = SlicedVolume.from_volume(Volume(np.resize(tall.array, shape), affine), pixel_size=2.0)
        assert own_plane(source, tuple(PLANES), TranslationOptions(samples=1)) == plane
        assert own_plane(source, tuple(PLANES), TranslationOptions(slices=(2, 4))) == "axial"

    def test_a_slice_range_uses_the_axial_plane_alone(self, tall: Volume) -> None:
        assert self._planes_of(tall, samples=3, slices=(20, 30)) == [(52, 3)]

    @pytest.mark.parametrize(("count", "spacing", "planes"), [(52, 2.0, 3), (49, 2.0, 1), (20, 5.5, 3), (20, 6.5, 1)])
    def test_low_and_thick_volumes_are_sampled_in_their_own_plane_alone(
        self, head_on: HeadMaker, centered: Centered, count: int, spacing: float, planes: int
    ) -> None:
        shape = (36, 40, count)
        assert len(self._planes_of(head_on(shape, centered(shape, (2.0, 2.0, spacing))), samples=4)) == planes


class TestTranslation:
    def test_the_translation_is_the_mean_of_the_samples_of_all_planes(self, tall: Volume, method: LMIDiffusion) -> None:
        options = TranslationOptions(samples=4)
        source = SlicedVolume.from_volume(tall, pixel_size=2.0)
        moments = translate_slices(source, source.head_slices(), method, options)
        volumes = []
        for number, plane in ((0, "axial"), (1, "axial"), (0, "coronal"), (0, "sagittal")):
            cut = source.in_plane(plane)
            planes = torch.full((cut.grid.slice_count, 1, *cut.grid.plane_shape), torch.nan)
            indices = cut.head_slices()
            assert indices == source.head_slices_in(plane)
            planes[indices] = samples_in_plane(cut, indices, method, options)[number]
            volumes.append(cut.grid.volume(planes))
        shown = ~np.isnan(volumes[0])
        everywhere = ~np.isnan(volumes).any(0)
        assert 0.3 < everywhere.mean() <= shown.mean() < 0.4
        mean = np.ma.masked_invalid(volumes).mean(0)
        np.testing.assert_allclose(moments.mean[shown], mean[shown], atol=1e-5)
        assert not moments.mean[~shown].any()

    def test_multiplanar_translations_of_the_48_orientations_are_equal(
        self, tall: Volume, method: LMIDiffusion, orientations: Orientations
    ) -> None:
        expected = translate(tall, method).volume.array
        for volume, back in orientations(tall):
            result = translate(volume, method).volume
            np.testing.assert_array_equal(result.affine, volume.affine)
            np.testing.assert_allclose(back(result.array), expected, atol=1e-4)

    def test_progress_counts_the_slices_of_all_planes(self, tall: Volume, method: LMIDiffusion) -> None:
        told: list[Progress] = []
        source = SlicedVolume.from_volume(tall, pixel_size=2.0)
        options = TranslationOptions(samples=5)
        translate_slices(source, source.head_slices(), method, options, on_progress=told.append)
        assert {each.slices for each in told} == {sum(len(source.in_plane(plane).head_slices()) for plane in PLANES)}
        fractions = [each.fraction for each in told]
        assert fractions == sorted(set(fractions))
        assert fractions[-1] == pytest.approx(1)

    def test_a_network_trained_on_one_plane_samples_only_that_plane(
        self, tall: Volume, tiny_checkpoint: Checkpoint
    ) -> None:
        seen: set[tuple[int, ...]] = set()

        class Watched(LMIDiffusion):
            def sample(self, source: SlicedVolume, indices: list[int], **rest: Any) -> Tensor:
                seen.add(source.grid.slice_shape)
                return super().sample(source, indices, **rest)

        method = Watched(tiny_checkpoint, device=torch.device("cpu"))
        source = SlicedVolume.from_volume(tall, pixel_size=2.0)
        translate_slices(source, source.head_slices(), method, TranslationOptions(samples=3))
        assert seen == {(36, 40)}
