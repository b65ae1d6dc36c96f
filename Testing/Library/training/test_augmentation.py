import dataclasses

import numpy as np
import pytest
import torch

from LMIDiffusionLib.images.normalization import to_unit_scale
from LMIDiffusionLib.images.slice_grid import SliceGrid
from LMIDiffusionLib.images.volume import read_volume
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.training.anatomy import CLASSES, MOST_CLASSES, anatomical_classes, class_means
from LMIDiffusionLib.training.augmentation import AUGMENTATIONS, Augmentation, spin_echo
from LMIDiffusionLib.training.augmentation.class_contrasts import ClassContrasts
from LMIDiffusionLib.training.augmentation.deformation import Deformation
from LMIDiffusionLib.training.augmentation.intensity_curves import ToneCurves
from LMIDiffusionLib.training.augmentation.random_streams import SliceDraws
from LMIDiffusionLib.training.augmentation.scanner_artifacts import Scanner
from LMIDiffusionLib.training.augmentation.spatial import Geometry
from LMIDiffusionLib.training.augmentation.spin_echo import PROTOCOLS, RELAXATION, null_time, spin_echo_levels
from LMIDiffusionLib.training.slice_batch import Pixels, SliceBatch

_CORTEX, _WHITE, _THALAMUS = (CLASSES.index(name) for name in ("cortex", "white matter", "thalamus"))
_STILL = Geometry(rotation=0, scaling=0, translation=0, skull_stripping=0)
_CLEAN = Scanner(gain=0, bias_field=0, noise=0, blur=0)


def _draws(seed: int = 0) -> SliceDraws:
    return SliceDraws(torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def batch() -> SliceBatch:
    """Four slices of a head of discs: fat, muscle, cortex, white matter, and a thalamus as bright as the cortex."""
    rows, columns = torch.meshgrid(torch.arange(-20.0, 20), torch.arange(-24.0, 24), indexing="ij")
    radius = torch.hypot(rows, columns)
    classes = torch.zeros(40, 48, dtype=torch.uint8)
    image = torch.zeros(40, 48)
    for reach, name, level in (
        (19, "fat", 0.8),
        (17, "muscle", 0.45),
        (15, "cortex", 0.5),
        (11, "white matter", 0.65),
        (5, "thalamus", 0.5),
    ):
        classes[radius < reach] = CLASSES.index(name)
        image[radius < reach] = level
    texture = 0.02 * torch.randn(4, 1, 40, 48, generator=torch.Generator().manual_seed(0))
    images = torch.where(image > 0, image + texture, 0).clamp(0, 1)
    everywhere = classes.expand(4, 1, 40, 48)
    means = torch.from_numpy(class_means(images.numpy(), everywhere.numpy())).expand(4, -1)
    brains = (radius < 15).float().expand(4, 1, 40, 48)
    return SliceBatch(images, brains, torch.full((4, 1, 1, 1), 0.9), everywhere, means)


def _repeated(batch: SliceBatch, times: int) -> SliceBatch:
    return SliceBatch(*(part[:1].repeat(times, *[1] * (part.ndim - 1)) for part in batch))


def _means_by_class(copies: torch.Tensor, batch: SliceBatch, *names: str) -> list[torch.Tensor]:
    masks = [batch.classes == CLASSES.index(name) for name in names]
    return [(copies * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)) for mask in masks]


class TestGeometry:
    def test_all_amounts_at_zero_is_identity_or_mirror(self, batch: SliceBatch) -> None:
        moved, kept = _STILL.move(batch.images, batch.brains, _draws())
        assert kept.all()
        for before, after in zip(batch.images, moved, strict=True):
            same = torch.allclose(before, after, atol=1e-5)
            assert same or torch.allclose(before.flip(1), after, atol=1e-5)

    def test_all_channels_move_alike(self, batch: SliceBatch) -> None:
        moved, _ = Geometry(unmoved=0).move(torch.cat([batch.images, batch.images], 1), batch.brains, _draws())
        assert torch.equal(moved[:, 0], moved[:, 1])

    def test_moved_slices_stay_sharp(self) -> None:
        volume = read_volume(sample_scan("sri24_T1w"))
        grid = SliceGrid(volume.array.shape, volume.affine, pixel_size=2.0)
        images = grid.slices(to_unit_scale(volume.array))[20:60]
        moved, _ = Geometry(unmoved=0).move(images, torch.ones_like(images), _draws())
        assert moved.diff().square().mean() > 0.85 * images.diff().square().mean()

    def test_rotation_leaves_a_disc_round(self) -> None:
        disc = torch.hypot(*torch.meshgrid(torch.arange(-30.0, 30), torch.arange(-40.0, 40), indexing="ij")) < 20
        image = disc.float()[None, None].repeat(6, 1, 1, 1)
        turning = Geometry(unmoved=0, rotation=20, scaling=0, translation=0)
        turned, _ = turning.move(image, torch.ones_like(image), _draws())
        assert (turned - image).abs().mean() < 0.025
        for extent in ((each > 0.5).any(axis).sum() for each in turned[:, 0] for axis in (0, 1)):
            assert abs(extent - 39) <= 2

    def test_stripping_keeps_the_brain_alone(self, batch: SliceBatch) -> None:
        stripping = dataclasses.replace(_STILL, skull_stripping=1)
        _, kept = stripping.move(batch.images, batch.brains, _draws())
        assert kept.sum() < kept.numel()
        assert kept.sum() >= batch.brains.sum()

    def test_a_slice_without_brain_is_not_stripped(self, batch: SliceBatch) -> None:
        stripping = dataclasses.replace(_STILL, skull_stripping=1)
        _, kept = stripping.move(batch.images, torch.zeros_like(batch.brains), _draws())
        assert kept.all()


def _sampled(images: torch.Tensor, deformation: Deformation, classes: torch.Tensor) -> torch.Tensor:
    still = torch.eye(2, 3).expand(len(images), -1, -1)
    grid = torch.nn.functional.affine_grid(still, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, deformation(grid, classes, _draws()), align_corners=False)


class TestDeformation:
    @pytest.fixture
    def ventricles(self) -> torch.Tensor:
        """Classes of 16 slices: white matter about a ventricle of 10 x 8 pixels."""
        classes = torch.full((16, 1, 60, 72), _WHITE, dtype=torch.uint8)
        classes[..., 25:35, 30:38] = CLASSES.index("ventricles")
        return classes

    def test_without_shares_nothing_is_deformed(self, ventricles: torch.Tensor) -> None:
        images = torch.rand(16, 1, 60, 72)
        torch.testing.assert_close(_sampled(images, Deformation(), ventricles), images, atol=1e-4, rtol=0)

    def test_fluid_grows_and_what_is_far_from_it_stays(self, ventricles: torch.Tensor) -> None:
        fluid = (ventricles == CLASSES.index("ventricles")).float()
        growing = Deformation(growth=1, places=1, reach=(6, 8))
        # Only slices whose place was drawn in the ventricles grow: there is no other fluid.
        areas = _sampled(fluid, growing, ventricles).sum((1, 2, 3)) / fluid[0].sum()
        assert areas.min() > 0.99
        assert (areas > 1.1).sum() > 6
        assert areas.max() < 5
        images = torch.rand(16, 1, 60, 72)
        grown = _sampled(images, growing, ventricles)
        torch.testing.assert_close(grown[..., :3, :3], images[..., :3, :3], atol=1e-3, rtol=0)

    def test_ventricles_on_both_sides_grow_at_once(self) -> None:
        fluid = torch.zeros(16, 1, 60, 72)
        fluid[..., 25:35, 14:20] = fluid[..., 25:35, 52:58] = 1
        classes = torch.where(fluid > 0, CLASSES.index("ventricles"), _WHITE)
        grown = _sampled(fluid, Deformation(growth=1, reach=(6, 8)), classes)
        sides = [half.sum((1, 2, 3)) / (fluid[0].sum() / 2) for half in grown.chunk(2, 3)]
        assert (torch.minimum(*sides) > 1.1).sum() > 4

    def test_slices_without_fluid_do_not_grow(self, ventricles: torch.Tensor) -> None:
        images = torch.rand(16, 1, 60, 72)
        white = torch.full_like(ventricles, _WHITE)
        torch.testing.assert_close(_sampled(images, Deformation(growth=1), white), images, atol=1e-4, rtol=0)

    def test_fluid_gains_room_all_around_and_the_head_keeps_its_size(self) -> None:
        ventricle, sulcus, head = (torch.zeros(16, 1, 60, 72) for _ in range(3))
        ventricle[..., 25:35, 30:38] = sulcus[..., 10:50, 58:60] = head[..., 5:55, 5:67] = 1
        classes = torch.full((16, 1, 60, 72), _WHITE)
        for fluid, name in ((ventricle, "ventricles"), (sulcus, "other fluid")):
            classes[fluid > 0] = CLASSES.index(name)
        atrophied = _sampled(torch.cat([ventricle, sulcus, head], 1), Deformation(atrophy=1), classes).sum((2, 3))
        share = atrophied / torch.cat([ventricle, sulcus, head], 1).sum((2, 3))
        assert share[:, :2].min() > 0.99
        assert (share[:, :2] > 1.15).all(1).sum() > 10
        torch.testing.assert_close(share[:, 2], torch.ones(16), atol=0.03, rtol=0)

    @pytest.mark.parametrize("deformation", [Deformation(growth=1), Deformation(atrophy=1), Deformation(bending=1)])
    def test_nothing_is_folded_over(self, ventricles: torch.Tensor, deformation: Deformation) -> None:
        columns = torch.linspace(0, 1, 72).expand(16, 1, 60, 72)
        assert _sampled(columns, deformation, ventricles)[..., 8:-8, 8:-8].diff().min() > 0

    def test_bending_moves_by_no_more_than_its_amount(self, ventricles: torch.Tensor) -> None:
        columns = torch.arange(72.0).expand(16, 1, 60, 72)
        moved = (_sampled(columns, Deformation(bending=1, bend=4), ventricles) - columns)[..., 8:-8, 8:-8].abs()
        assert 1 < moved.max() < 4 * 1.3
        assert moved.amax((1, 2, 3)).std() > 0.3

    def test_a_copy_is_deformed_as_its_slice_is(self, batch: SliceBatch) -> None:
        same = Augmentation(
            deformation=Deformation(growth=1, atrophy=1, bending=1), tone_curves=ToneCurves(unchanged=1)
        )
        images, copies = dataclasses.replace(same, geometry=_STILL, scanner=_CLEAN)(batch, _draws())
        torch.testing.assert_close(images, copies, atol=2e-3, rtol=0)
        assert (images - batch.images).abs().mean() > 0.01


class TestToneCurves:
    def test_flatness_brings_tissues_together_but_leaves_air_dark(self) -> None:
        ramp = torch.linspace(0, 1, 101).repeat(64, 1, 4, 1)
        plain, flat = (ToneCurves(unchanged=0, flatness=flatness)(ramp, _draws()) for flatness in (0.0, 1.0))
        assert flat[..., 20:].std(-1).mean() < 0.6 * plain[..., 20:].std(-1).mean()
        assert (flat[..., 0] <= 0.1 * flat[..., 5:].amax(-1) + 1e-6).all()

    def test_some_contrasts_are_inverted(self, batch: SliceBatch) -> None:
        many = _repeated(batch, 64)
        copies = ToneCurves()(many.images, _draws())
        assert copies.min() >= 0 and copies.max() <= 1
        white, cortex = _means_by_class(copies, many, "white matter", "cortex")
        assert 10 < (white < cortex).sum() < 54

    def test_a_copy_is_a_function_of_the_targets_intensity(self, batch: SliceBatch) -> None:
        copies = ToneCurves(unchanged=0)(batch.images, _draws())
        thalamus, cortex = _means_by_class(copies, batch, "thalamus", "cortex")
        torch.testing.assert_close(thalamus, cortex, atol=0.02, rtol=0)


class TestScanner:
    def test_thick_slices_blur_half_the_copies_each_along_one_axis(self) -> None:
        points = torch.zeros(64, 1, 15, 15)
        points[..., 7, 7] = 1
        copies = dataclasses.replace(_CLEAN, thickness=1.2)(points, _draws())[:, 0]
        spread = [(copies.sum(axis) > 1e-3).sum(1) > 1 for axis in (1, 2)]
        assert not (spread[0] & spread[1]).any()
        for along in spread:
            assert 6 < along.sum() < 26
        torch.testing.assert_close(copies.sum((1, 2)), torch.ones(64))

    def test_gain_puts_slices_of_any_brightness_on_the_unit_scale(self, batch: SliceBatch) -> None:
        for factor in (0.2, 1.0):
            seen = dataclasses.replace(_CLEAN, gain=1)(factor * batch.images, _draws())
            for each in seen:
                assert 0.38 < each[each > 0.1].median() < 0.62

    def test_bright_voxels_are_clipped_to_the_unit_range(self, batch: SliceBatch) -> None:
        seen = Scanner(gain=1, noise=0.2)(batch.images, _draws())
        assert seen.min() == 0
        assert seen.max() <= 1


class TestClassContrasts:
    def test_every_class_gets_its_own_value(self, batch: SliceBatch) -> None:
        many = _repeated(batch, 32)
        contrasts = ClassContrasts(independent=1, slope=0)
        copies = contrasts(many.images, many.classes, many.class_means, _draws())
        means = torch.stack(_means_by_class(copies, many, "fat", "muscle", "cortex", "white matter", "thalamus"), 1)
        gaps = (means[:, :, None] - means[:, None]).abs() + torch.eye(5)
        assert (gaps.amin((1, 2)) > 1e-4).all(), "no two classes share a value"
        assert means.std(0).min() > 0.15, "values differ from copy to copy"

    def test_a_copy_is_no_function_of_the_targets_intensity(self, batch: SliceBatch) -> None:
        contrasts = ClassContrasts(independent=1)
        many = _repeated(batch, 32)
        copies = contrasts(many.images, many.classes, many.class_means, _draws())
        thalamus, cortex = _means_by_class(copies, many, "thalamus", "cortex")
        assert (thalamus - cortex).abs().mean() > 0.15, "they have the same intensity in the target"

    def test_structured_copies_have_one_order_of_gray_deep_gray_and_white(self, batch: SliceBatch) -> None:
        many = _repeated(batch, 64)
        contrasts = ClassContrasts(independent=0, spin_echoes=0, slope=0)
        copies = contrasts(many.images, many.classes, many.class_means, _draws())
        cortex, thalamus, white = _means_by_class(copies, many, "cortex", "thalamus", "white matter")
        low, high = torch.minimum(cortex, white), torch.maximum(cortex, white)
        assert ((thalamus > low - 0.12) & (thalamus < high + 0.12)).all()
        assert 16 < (cortex > white).sum() < 48

    def test_texture_within_a_class_stays(self, batch: SliceBatch) -> None:
        copies = ClassContrasts()(batch.images, batch.classes, batch.class_means, _draws(3))
        inside = torch.nn.functional.avg_pool2d((batch.classes == _WHITE).float(), 3, 1, 1) == 1
        for image, copy, mask in zip(batch.images, copies, inside, strict=True):
            assert abs(np.corrcoef(image[mask], copy[mask])[0, 1]) > 0.99

    def test_in_most_copies_of_spin_echoes_cortex_is_brighter_than_white_matter(self, batch: SliceBatch) -> None:
        contrasts = ClassContrasts(independent=0, spin_echoes=1, slope=0)
        many = _repeated(batch, 200)
        copies = contrasts(many.images, many.classes, many.class_means, _draws())
        cortex, white = _means_by_class(copies, many, "cortex", "white matter")
        assert 0.02 < (white > cortex).float().mean() < 0.35

    def test_edges_of_classes_are_mixed(self) -> None:
        classes = torch.full((1, 1, 8, 20), _CORTEX, dtype=torch.uint8)
        classes[..., 10:] = _WHITE
        images = torch.full((1, 1, 8, 20), 0.5)
        means = torch.full((1, MOST_CLASSES), 0.5)
        row = ClassContrasts(independent=1)(images, classes, means, _draws(2))[0, 0, 4]
        left, right = row[5], row[15]
        assert abs(left - right) > 0.1
        share = (row - left) / (right - left)
        assert 0.05 < share[9] < 0.45 < 0.55 < share[10] < 0.95
        assert share[8].abs() < 1e-5 and (share[11] - 1).abs() < 1e-5

    def test_dark_voxels_near_the_brain_become_fluid_or_bone(self) -> None:
        classes = torch.full((16, 1, 60, 60), CLASSES.index("dim near the brain"), dtype=torch.uint8)
        images, means = torch.full((16, 1, 60, 60), 0.2), torch.full((16, MOST_CLASSES), 0.2)
        copies = ClassContrasts(independent=0, slope=0)(images, classes, means, _draws())
        levels = [copy.round(decimals=3).unique(return_counts=True) for copy in copies]
        two = [values[counts > 150] for values, counts in levels]
        assert all(1 <= len(values) <= 2 for values in two)
        assert sum(len(values) == 2 for values in two) > 8


class TestThickSlicesAndPixels:
    def test_parts_that_are_alike_make_the_slice_that_they_are(self, batch: SliceBatch) -> None:
        """Whatever is drawn is drawn once for all parts of a slice."""
        anatomical = AUGMENTATIONS["anatomical"]
        doubled = SliceBatch(*(part.repeat_interleave(3, 0) for part in batch))
        thin = anatomical(batch, _draws())
        thick = anatomical(doubled, _draws(), pixels=Pixels(parts=3))
        for one, three in zip(thin, thick, strict=True):
            assert torch.allclose(one, three, atol=1e-5)

    def test_a_thick_slice_is_the_mean_of_its_parts_in_target_and_copy(self, batch: SliceBatch) -> None:
        dark = batch._replace(images=batch.images * 0.5)
        mixed = SliceBatch(*(torch.stack(each, 1).flatten(0, 1) for each in zip(batch, dark, strict=True)))
        plain = dataclasses.replace(AUGMENTATIONS["plain"], geometry=dataclasses.replace(_STILL, unmoved=1))
        images, copies = plain(mixed, _draws(), pixels=Pixels(parts=2))
        one, _ = plain(batch, _draws())
        assert torch.allclose(images, 0.75 * one, atol=1e-5)
        assert torch.allclose(copies, images, atol=1e-3)

    def test_tissues_share_the_larger_pixels_of_the_result(self, batch: SliceBatch) -> None:
        plain = dataclasses.replace(AUGMENTATIONS["plain"], geometry=_STILL)
        images, copies = plain(batch, _draws(), pixels=Pixels(spacing=1.0, size=2.0, shape=(20, 24)))
        assert images.shape == copies.shape == (4, 1, 20, 24)
        halves = torch.nn.functional.avg_pool2d(batch.images, 2)
        for image, half in zip(images, halves, strict=True):
            assert min((image - half).abs().mean(), (image.flip(1) - half).abs().mean()) < 0.03

    def test_deformations_reach_as_far_in_millimeters_on_finer_pixels(self, batch: SliceBatch) -> None:
        bending = Deformation(bending=1, places=0)
        coarse = torch.nn.functional.affine_grid(
            torch.eye(2, 3)[None].expand(4, -1, -1), [4, 1, 20, 24], align_corners=False
        )
        fine = torch.nn.functional.affine_grid(
            torch.eye(2, 3)[None].expand(4, -1, -1), [4, 1, 40, 48], align_corners=False
        )
        near, far = (
            (bending(grid, classes, _draws(), pixel_size=size) - grid).square().mean((1, 2)).sqrt()
            for grid, classes, size in ((coarse, batch.classes[..., ::2, ::2], 2.0), (fine, batch.classes, 1.0))
        )
        assert torch.allclose(near, far, rtol=0.15)


class TestGain:
    def test_air_about_the_head_changes_nothing(self, batch: SliceBatch) -> None:
        gain = Scanner(gain=1, bias_field=0, noise=0, blur=0)
        wide = torch.nn.functional.pad(batch.images, (20, 20, 30, 30))
        assert torch.allclose(gain(wide, _draws())[..., 30:-30, 20:-20], gain(batch.images, _draws()), atol=1e-6)


class TestSpinEchoes:
    @pytest.fixture
    def levels(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
        """Return the intensities of the tissues in 200 copies of one protocol."""
        monkeypatch.setattr(spin_echo, "PROTOCOLS", {"one": PROTOCOLS[request.param]._replace(share=1)})
        copies = spin_echo_levels(torch.zeros(200, 1, 4, 4), _draws())
        assert copies.min() >= 0 and copies.max() <= 1
        return dict(zip(RELAXATION, copies.unbind(1), strict=True))

    @pytest.mark.parametrize("levels", ["PDw", "T2w"], indirect=True)
    def test_gray_matter_is_brighter_than_white_where_proton_density_or_t2_counts(
        self, levels: dict[str, torch.Tensor]
    ) -> None:
        assert (levels["cortex"] > levels["white matter"]).float().mean() > 0.8

    @pytest.mark.parametrize("levels", ["PDw"], indirect=True)
    def test_fluid_is_often_within_some_percent_of_cortex_where_proton_density_counts(
        self, levels: dict[str, torch.Tensor]
    ) -> None:
        near = [((levels[name] / levels["cortex"]) - 1).abs() < 0.12 for name in ("ventricles", "other fluid")]
        assert all(0.4 < each.float().mean() < 0.95 for each in near)
        assert not torch.equal(levels["ventricles"], levels["other fluid"])
        assert ((levels["caudate"] - levels["ventricles"]).abs() > 1e-4).all()

    @pytest.mark.parametrize("levels", ["T2w"], indirect=True)
    def test_fluid_is_brightest_in_the_head_in_t2(self, levels: dict[str, torch.Tensor]) -> None:
        assert (levels["ventricles"] > levels["cortex"]).float().mean() > 0.98
        assert (levels["ventricles"] > levels["fat"]).float().mean() > 0.7

    @pytest.mark.parametrize("levels", ["FLAIR"], indirect=True)
    def test_flair_suppresses_fluid(self, levels: dict[str, torch.Tensor]) -> None:
        assert (levels["ventricles"] < levels["white matter"]).float().mean() > 0.95
        assert levels["ventricles"].mean() < 0.35 * levels["white matter"].mean()

    @pytest.mark.parametrize("levels", ["T1w"], indirect=True)
    def test_tissues_brighten_from_fluid_to_white_matter_in_t1(self, levels: dict[str, torch.Tensor]) -> None:
        assert (levels["ventricles"] < levels["cortex"]).all()
        assert (levels["cortex"] < levels["white matter"]).float().mean() > 0.7

    def test_a_tissue_inverted_until_its_null_gives_no_signal(self) -> None:
        repetition, t1 = torch.tensor([4000.0, 9000.0]), torch.tensor([3000.0, 4200.0])
        null = null_time(repetition, t1)
        assert (null > 0).all() and (null < repetition).all()
        after = 1 - 2 * (-null / t1).exp() + (-repetition / t1).exp()
        torch.testing.assert_close(after, torch.zeros(2), atol=1e-6, rtol=0)

    def test_every_class_of_the_anatomy_has_its_relaxation(self) -> None:
        assert tuple(RELAXATION) == CLASSES[1 : 1 + len(RELAXATION)]


class TestAugmentation:
    @pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
    def test_is_set_by_the_draws(self, batch: SliceBatch, name: str) -> None:
        first, again, other = (AUGMENTATIONS[name](batch, _draws(seed)) for seed in (0, 0, 1))
        assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
        assert not torch.equal(first[0], other[0]) and not torch.equal(first[1], other[1])

    @pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
    def test_slices_and_copies_lie_in_the_unit_range(self, batch: SliceBatch, name: str) -> None:
        for each in AUGMENTATIONS[name](_repeated(batch, 32), _draws()):
            assert each.min() >= 0
            assert each.max() <= 1

    def test_plain_copies_are_the_slices(self, batch: SliceBatch) -> None:
        images, copies = dataclasses.replace(AUGMENTATIONS["plain"], geometry=_STILL)(batch, _draws())
        torch.testing.assert_close(copies, images)

    def test_a_stripped_slice_is_multiplied_by_its_gain(self, batch: SliceBatch) -> None:
        stripping = Augmentation(geometry=dataclasses.replace(_STILL, skull_stripping=1))
        plain = stripping(batch._replace(gains=torch.ones(4, 1, 1, 1)), _draws())[0]
        gained = stripping(batch, _draws())[0]
        torch.testing.assert_close(gained, 0.9 * plain)
        whole = Augmentation(geometry=_STILL)(batch, _draws())[0]
        assert whole.max() > plain.max(), "a slice that keeps its skull keeps its scale"

    def test_copies_of_a_scan_without_labels_differ_by_class_too(self) -> None:
        volume = read_volume(sample_scan("sri24_T1w"))
        grid = SliceGrid(volume.array.shape, volume.affine, pixel_size=2.0)
        images = grid.slices(to_unit_scale(volume.array))[30:34]
        scan, spacing = images[:, 0].numpy(), (1.0, 2.0, 2.0)
        classes = anatomical_classes(scan, brain=None, labels=None, spacing=spacing)
        means = torch.from_numpy(class_means(scan, classes)).expand(4, -1)
        copies = ClassContrasts(independent=1, slope=0)(images, torch.from_numpy(classes)[:, None], means, _draws())
        for copy, of_copy in zip(copies[:, 0], classes, strict=True):
            present = [number for number in np.unique(of_copy) if (of_copy == number).sum() > 100]
            levels = torch.stack([copy[torch.from_numpy(of_copy == number)].median() for number in present])
            assert len(present) >= 4
            assert levels.sort().values.diff().min() > 1e-3
