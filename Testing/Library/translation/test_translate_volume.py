"""Properties of the translation of whole volumes."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from drawing import samples_in_plane
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from skimage.filters import threshold_otsu
from torch import Tensor

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.normalization import head_outlines, to_unit_scale
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume
from LMIDiffusionLib.interface.presets import DEFAULT_PRESET, PRESETS, Preset
from LMIDiffusionLib.interface.progress import Progress
from LMIDiffusionLib.lmi import HistogramKernel
from LMIDiffusionLib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from LMIDiffusionLib.model.conditioning import Condition
from LMIDiffusionLib.model.denoisers import conditional_denoiser
from LMIDiffusionLib.model.devices import select_device, select_precision
from LMIDiffusionLib.model.samplers import SAMPLERS
from LMIDiffusionLib.model.score_network import ScoreNetwork
from LMIDiffusionLib.translation.guided_upsampling import guided_upsampling
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.running_moments import RunningMoments
from LMIDiffusionLib.translation.scan_pipeline import ScanResult, translate
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume
from LMIDiffusionLib.translation.translate_volume import head_part, translate_slices

Affine = NDArray[np.float64]
Array = NDArray[np.number]
HeadMaker = Callable[[tuple[int, int, int], Affine], Volume]
Centered = Callable[[tuple[int, int, int], tuple[float, float, float]], Affine]
Orientations = Callable[[Volume], Iterator[tuple[Volume, Callable[[Array], Array]]]]
Forward = Callable[[ScoreNetwork, Tensor, Tensor, Tensor, float], Tensor]

STEPS = 3
MIDDLE = (9, 12)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def method(tiny_checkpoint: Checkpoint) -> LMIDiffusion:
    return LMIDiffusion(tiny_checkpoint, device=CPU)


def run(
    method: LMIDiffusion,
    volume: Volume,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    **options: Any,
) -> ScanResult:
    chosen = TranslationOptions(**{"steps": STEPS, "samples": 1, **options})
    return translate(volume, method, chosen, on_progress=on_progress)


def image(method: LMIDiffusion, volume: Volume, **options: Any) -> Array:
    return run(method, volume, **options).volume.array


def source_of(volume: Volume) -> SlicedVolume:
    return SlicedVolume.from_volume(volume, pixel_size=2.0)


def moments_of(method: LMIDiffusion, volume: Volume, **options: Any) -> RunningMoments:
    """Moments of the translation in the volume's own field of view."""
    chosen = TranslationOptions(**{"steps": STEPS, "samples": 1, **options})
    source = source_of(volume)
    return translate_slices(source, source.head_slices(chosen.slices), method, chosen)


def samples_of(method: LMIDiffusion, volume: Volume, **options: Any) -> Tensor:
    """Samples (K, S, 1, H, W) of the middle slices on the checkpoint's grid."""
    chosen = TranslationOptions(**{"steps": STEPS, "samples": 1, **options})
    return samples_in_plane(source_of(volume), list(range(*MIDDLE)), method, chosen)


@pytest.fixture(scope="module")
def whole(method: LMIDiffusion, head: Volume) -> Array:
    """The translation of the canonical head."""
    return image(method, head)


@pytest.fixture(scope="module")
def middle(method: LMIDiffusion, head: Volume) -> Array:
    """The translation of some middle slices of the canonical head."""
    return image(method, head, slices=MIDDLE)


# Progress and result --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "batch_size"), [(1, None), (1, 5), (3, 4), (2, 1)])
def test_progress_rises_to_one_step_by_step(
    method: LMIDiffusion, head: Volume, samples: int, batch_size: int | None
) -> None:
    progress: list[Progress] = []
    run(method, head, progress.append, samples=samples, batch_size=batch_size, slices=(5, 14))
    fractions = [event.fraction for event in progress]
    assert fractions == sorted(set(fractions))
    assert fractions[-1] == pytest.approx(1, abs=1e-12)
    batches = -(-9 // (batch_size or 8))
    assert fractions[0] == pytest.approx(min(batch_size or 8, 9) / 9 / (samples * STEPS))
    assert [event.step for event in progress] == [1, 2, 3] * (samples * batches)
    assert {(event.slices, event.steps) for event in progress} == {(9, STEPS)}
    done = [event.slice for event in progress]
    assert done == sorted(done) and done[0] == 0 and done[-1] < 9
    assert all(event.seconds_left >= 0 for event in progress)
    assert progress[-1].seconds_left == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i2", "float32", "float64"])
def test_result_is_float32_in_the_unit_interval_on_the_grid_of_the_source(
    method: LMIDiffusion, head: Volume, dtype: str
) -> None:
    source = head.with_array((head.array / 12).astype(dtype))
    before = source.array.copy()
    result = run(method, source, slices=MIDDLE).volume
    assert result.array.dtype == np.float32
    assert result.array.shape == source.array.shape
    np.testing.assert_array_equal(result.affine, source.affine)
    assert 0 <= result.array.min() < result.array.max() <= 1
    np.testing.assert_array_equal(source.array, before)


def test_the_translation_depends_on_the_source(method: LMIDiffusion, head: Volume, middle: Array) -> None:
    mirrored = head.with_array(head.array[::-1].copy())
    assert np.abs(image(method, mirrored, slices=MIDDLE) - middle).max() > 0.1


def test_the_lmi_kernel_of_the_checkpoint_is_used(tiny_checkpoint: Checkpoint, head: Volume, middle: Array) -> None:
    other = dataclasses.replace(tiny_checkpoint, condition=Condition(kernel=HistogramKernel(bins=8)))
    assert np.abs(image(LMIDiffusion(other, device=CPU), head, slices=MIDDLE) - middle).max() > 0.01


@pytest.mark.parametrize("factor", [0.125, 3.7, 1e4])
def test_scaling_the_source_intensities_changes_nothing(
    method: LMIDiffusion, head: Volume, middle: Array, factor: float
) -> None:
    scaled = head.with_array(head.array * np.float32(factor))
    np.testing.assert_allclose(image(method, scaled, slices=MIDDLE), middle, atol=1e-4)


# Geometry -------------------------------------------------------------------------------------------------------------


def test_the_48_orientations_of_a_volume_are_translated_alike(
    method: LMIDiffusion, head: Volume, middle: Array, orientations: Orientations
) -> None:
    count = 0
    for volume, back in orientations(head):
        result = run(method, volume, slices=MIDDLE).volume
        np.testing.assert_array_equal(result.affine, volume.affine)
        np.testing.assert_allclose(back(result.array), middle, atol=1e-6)
        count += 1
    assert count == 48


@pytest.mark.parametrize("degrees", [(40, 0, 0), (0, -40, 0), (0, 0, 40), (15, -20, 25)])
def test_an_oblique_volume_is_translated_as_without_its_rotation(
    method: LMIDiffusion, head: Volume, middle: Array, degrees: tuple[float, float, float]
) -> None:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    result = run(method, Volume(head.array, turn @ head.affine), slices=MIDDLE).volume
    np.testing.assert_allclose(result.array, middle, atol=1e-6)
    np.testing.assert_array_equal(result.affine, turn @ head.affine)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((80, 96, 20), (1.0, 1.0, 2.0)),
        ((53, 107, 20), (80 / 53, 96 / 107, 2.0)),
        ((41, 47, 20), (80 / 41, 96 / 47, 2.0)),
        ((27, 33, 20), (80 / 27, 96 / 33, 2.0)),
    ],
    ids=["finer", "anisotropic", "odd", "coarser"],
)
def test_another_pixel_spacing_gives_the_canonical_translation_up_to_interpolation(
    method: LMIDiffusion,
    head: Volume,
    head_on: HeadMaker,
    centered: Centered,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> None:
    whole = moments_of(method, head).mean
    result = moments_of(method, head_on(shape, centered(shape, spacing))).mean
    resampled = torch.nn.functional.interpolate(
        torch.from_numpy(np.moveaxis(whole, 2, 0).copy())[:, None],
        size=shape[:2],
        mode="bilinear",
        antialias=True,
    )
    expected = np.moveaxis(resampled[:, 0].numpy(), 0, 2)
    difference = np.abs(result - expected).mean()
    turned = moments_of(method, head.with_array(head.array[:, ::-1].copy())).mean
    assert difference < 0.02
    assert difference < 0.6 * np.abs(turned - whole).mean(), "another source makes no greater difference"


@pytest.mark.parametrize("cut", [(1, 1, 1, 1), (1, 2, 1, 2), (0, 1, 1, 2)])
def test_padding_to_the_stride_equals_a_margin_of_zeros(
    method: LMIDiffusion, head: Volume, cut: tuple[int, int, int, int]
) -> None:
    """The padding to the network's stride is a margin of zeros, and what is cut off afterwards is that very margin."""
    inner = np.s_[cut[0] : -cut[1] or None, cut[2] : -cut[3] or None]
    padded = np.zeros_like(head.array)
    padded[inner] = head.array[inner]
    expected = image(method, head.with_array(padded), slices=MIDDLE)
    result = image(method, Volume(head.array[inner].copy(), head.affine), slices=MIDDLE)
    np.testing.assert_allclose(result, expected[inner], atol=1e-3)


def test_a_left_handed_file_is_translated_as_the_canonical_volume_and_keeps_its_header(
    method: LMIDiffusion, head: Volume, middle: Array, tmp_path: Path
) -> None:
    affine = head.affine @ np.diag([-1.0, 1, 1, 1])
    affine[0, 3] = -head.affine[0, 3]
    nifti = nib.Nifti1Image(head.array[::-1], affine)
    nifti.set_qform(affine, 1)
    nib.save(nifti, tmp_path / "left.nii.gz")
    source = read_volume(tmp_path / "left.nii.gz")
    assert np.linalg.det(source.affine) < 0
    write_volume(tmp_path / "result.nii.gz", run(method, source, slices=MIDDLE).volume)
    result = read_volume(tmp_path / "result.nii.gz")
    np.testing.assert_allclose(result.array[::-1], middle, atol=1e-6)
    np.testing.assert_array_equal(result.affine, source.affine)


@pytest.mark.parametrize("shape", [(40, 7, 20), (7, 48, 20)])
def test_a_too_thin_volume_is_refused(method: LMIDiffusion, head: Volume, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="too thin"):
        run(method, Volume(head.array[tuple(slice(n) for n in shape)], head.affine))


# Noise ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["dpm-solver++", "euler-maruyama"])
def test_the_batch_size_changes_nothing(method: LMIDiffusion, head: Volume, sampler: str) -> None:
    single, three, eight = (image(method, head, slices=(6, 14), sampler=sampler, batch_size=size) for size in (1, 3, 8))
    assert single[..., 6:14].any((0, 1)).all()
    np.testing.assert_allclose(three, single, atol=1e-4)
    np.testing.assert_allclose(eight, single, atol=1e-4)


@pytest.mark.parametrize("chosen", [(0, 20), (9, 10), (3, 8), (12, 20)])
def test_a_slice_range_equals_the_whole_translation_inside_and_zero_elsewhere(
    method: LMIDiffusion, head: Volume, whole: Array, chosen: tuple[int, int]
) -> None:
    expected = np.zeros_like(head.array)
    inside = np.s_[..., chosen[0] : chosen[1]]
    expected[inside] = whole[inside]
    result = image(method, head, slices=chosen)
    np.testing.assert_allclose(result, expected, atol=1e-4)
    np.testing.assert_array_equal(result == 0, expected == 0)


def test_the_same_seed_gives_the_same_and_another_seed_another_result(
    method: LMIDiffusion, tiny_checkpoint: Checkpoint, head: Volume
) -> None:
    first = image(method, head, slices=MIDDLE, seed=5)
    torch.manual_seed(123)  # the noise has no part in the global state
    np.testing.assert_array_equal(image(LMIDiffusion(tiny_checkpoint, device=CPU), head, slices=MIDDLE, seed=5), first)
    assert np.abs(image(method, head, slices=MIDDLE, seed=6) - first).mean() > 0.01


def test_translation_and_loading_leave_the_global_random_states_alone(
    tiny_checkpoint: Checkpoint, head: Volume
) -> None:
    before, of_numpy = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    image(LMIDiffusion(tiny_checkpoint, device=CPU), head, slices=MIDDLE, sampler="euler-maruyama")
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], of_numpy)


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        (lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32)),
        (lambda: torch.set_default_dtype(torch.bfloat16), lambda: torch.set_default_dtype(torch.float32)),
        # Stands for GPUs, which are not everywhere.
        (lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)),
        (lambda: torch.use_deterministic_algorithms(True), lambda: torch.use_deterministic_algorithms(False)),
        (lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True)),
    ],
    ids=["float64", "bfloat16", "device", "deterministic", "no-grad"],
)
def test_global_settings_of_pytorch_change_nothing(
    change: Callable[[], object],
    undo: Callable[[], object],
    tiny_checkpoint: Checkpoint,
    method: LMIDiffusion,
    head: Volume,
    middle: Array,
    tmp_path: Path,
) -> None:
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny.safetensors")
    change()
    try:
        loaded = image(
            LMIDiffusion(load_checkpoint(str(tmp_path / "tiny.safetensors")), device=CPU), head, slices=MIDDLE
        )
        built_before = image(method, head, slices=MIDDLE)
        several = image(method, head, samples=3)
    finally:
        undo()
    np.testing.assert_array_equal(loaded, middle)
    np.testing.assert_array_equal(built_before, middle)
    np.testing.assert_array_equal(several, image(method, head, samples=3))


def test_equal_slices_get_equal_translations(method: LMIDiffusion, head: Volume) -> None:
    same = head.with_array(np.repeat(head.array[..., 10:11], 20, axis=2))
    result = image(method, same, slices=(9, 11), sampler="euler-maruyama", samples=2)
    np.testing.assert_allclose(result[..., 9], result[..., 10], atol=1e-5)


# Samples --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4])
def test_the_translation_is_the_mean_of_the_single_samples(method: LMIDiffusion, head: Volume, count: int) -> None:
    box, part, indices = head_part(source_of(head), [*range(*MIDDLE)])
    options = TranslationOptions(steps=STEPS, samples=count)
    samples = samples_in_plane(part, indices, method, options)[:, :, 0].numpy()
    assert len(samples) == count
    expected = np.zeros(part.scaled.shape, np.float32)
    expected[..., indices] = np.moveaxis(samples.mean(0), 0, 2)
    result = run(method, head, slices=MIDDLE, samples=count)
    np.testing.assert_allclose(result.volume.array, box.put_back(expected), atol=1e-6)
    assert result.uncertainty is None and result.expected_error is None and result.sample is None


def test_the_translation_on_another_grid_is_the_mean_of_the_resampled_samples(
    method: LMIDiffusion, head_on: HeadMaker, centered: Centered
) -> None:
    shape, spacing = (61, 75, 20), (80 / 61, 96 / 75, 2.0)
    source = head_on(shape, centered(shape, spacing))
    grid = source_of(source).grid
    guide = grid.plane_slices(to_unit_scale(source.array))[slice(*MIDDLE)]
    coarse_guide = grid.to_slices(guide)
    samples = samples_of(method, source, samples=3)
    planes = torch.stack([guided_upsampling(sample, coarse_guide, guide) for sample in samples])
    found = moments_of(method, source, slices=MIDDLE, samples=3).mean[..., slice(*MIDDLE)]
    np.testing.assert_allclose(found, np.moveaxis(planes.mean(0)[:, 0].numpy(), 0, 2), atol=5e-6)


def _outline(volume: Volume) -> NDArray[np.bool_]:
    """Voxels of the middle slices of a canonical volume that are translated."""
    scaled = to_unit_scale(volume.array)
    return np.moveaxis(head_outlines(scaled, np.moveaxis(scaled, 2, 0)), 0, 2)[..., slice(*MIDDLE)]


def test_air_has_the_level_of_the_source_without_its_noise(method: LMIDiffusion, head: Volume) -> None:
    noise = np.random.default_rng(0).rayleigh(0.005 * head.array.max(), head.array.shape)
    noisy = head.with_array((head.array + noise).astype(np.float32))
    result, air, inside = run(method, noisy, slices=MIDDLE, samples=2), ~_outline(noisy), _outline(noisy)
    assert 0.1 < air.mean() < 0.5
    scaled = to_unit_scale(noisy.array)[..., slice(*MIDDLE)]
    translated = result.volume.array[..., slice(*MIDDLE)]
    assert abs(translated[air].mean() - scaled[air].mean()) < 0.1 * scaled[air].mean()
    assert translated[air].std() < 0.4 * scaled[air].std()
    assert np.abs(translated - scaled)[inside].mean() > 0.01


def test_samples_differ_and_the_first_equals_a_single_sample(method: LMIDiffusion, head: Volume) -> None:
    samples = samples_of(method, head, samples=3)
    torch.testing.assert_close(samples[:1], samples_of(method, head))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (samples[first] - samples[second]).abs().mean() > 0.01


# Samplers and guidance ------------------------------------------------------------------------------------------------


def test_samplers_and_numbers_of_steps_differ(method: LMIDiffusion, head: Volume, middle: Array) -> None:
    euler = image(method, head, slices=MIDDLE, sampler="euler-maruyama")
    assert 0 <= euler.min() < euler.max() <= 1
    assert np.abs(euler - middle).mean() > 0.001
    assert np.abs(image(method, head, slices=MIDDLE, steps=5) - middle).mean() > 0.001


@pytest.mark.parametrize("sampler", ["dpm-solver++", "euler-maruyama"])
def test_a_guidance_of_one_is_plain_sampling(
    method: LMIDiffusion, head: Volume, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = image(method, head, slices=MIDDLE, sampler=sampler)
    evaluations = counted(monkeypatch)
    np.testing.assert_array_equal(image(method, head, slices=MIDDLE, sampler=sampler, guidance=1.0), plain)
    assert len(evaluations) == STEPS


def test_a_guidance_close_to_one_is_close_to_plain_sampling(method: LMIDiffusion, head: Volume, middle: Array) -> None:
    difference = np.abs(image(method, head, slices=MIDDLE, guidance=1 + 1e-5) - middle).max()
    assert 0 < difference < 1e-3


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_every_estimate_is_steered_by_the_maps_of_the_source_and_of_the_slice_so_far(
    tiny_checkpoint: Checkpoint, guidance: float
) -> None:
    source, noisy = torch.rand(2, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    network, condition, level = tiny_checkpoint.score_network(), tiny_checkpoint.condition, torch.full((3,), 0.3)
    maps = condition.all_maps(source, noisy)
    conditional, unconditional = network(noisy, maps, level), network(noisy, torch.zeros_like(maps), level)
    expected = (1 - guidance) * unconditional + guidance * conditional
    denoise = conditional_denoiser(network, condition, source, guidance=guidance)
    denoise(noisy + 1, 0.7)  # an earlier step leaves nothing behind
    torch.testing.assert_close(denoise(noisy, 0.3), expected)


@pytest.mark.parametrize("guidance", [0.0, 0.5, 2.0])
def test_guidance_changes_the_translation(method: LMIDiffusion, head: Volume, middle: Array, guidance: float) -> None:
    assert np.abs(image(method, head, slices=MIDDLE, guidance=guidance) - middle).mean() > 0.001


def test_a_guidance_of_zero_ignores_the_source(method: LMIDiffusion, head: Volume) -> None:
    mirrored = head.with_array(head.array[::-1].copy())
    first, second = (image(method, each, slices=MIDDLE, guidance=0.0) for each in (head, mirrored))
    both, middle = _outline(head) & _outline(mirrored), np.s_[..., slice(*MIDDLE)]
    assert both.mean() > 0.2
    np.testing.assert_allclose(first[middle][both], second[middle][both], atol=1e-5)


# Presets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_its_sampler_steps_and_samples(name: str) -> None:
    options = TranslationOptions.from_preset(name, seed=3)
    assert Preset(options.sampler, options.solver()[1], options.samples) == PRESETS[name]
    assert options.seed == 3


def test_the_default_options_are_those_of_the_default_preset() -> None:
    options = TranslationOptions()
    assert options.solver() == TranslationOptions.from_preset(DEFAULT_PRESET).solver()
    assert options.samples == PRESETS[DEFAULT_PRESET].samples


def test_options_override_the_preset_and_another_sampler_takes_its_own_steps() -> None:
    assert TranslationOptions.from_preset("best", samples=3, steps=7) == TranslationOptions(steps=7, samples=3)
    other = TranslationOptions.from_preset("best", sampler="euler-maruyama")
    assert other.solver()[1] == SAMPLERS["euler-maruyama"].default_steps
    assert other.samples == PRESETS["best"].samples
    with pytest.raises(UserError, match="no quality ultra"):
        TranslationOptions.from_preset("ultra")


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "heun"},
        {"steps": 0},
        {"steps": -5},
        {"samples": 0},
        {"batch_size": 0},
        {"batch_size": -1},
        {"seed": -1},
        {"guidance": float("nan")},
        {"guidance": float("inf")},
    ],
    ids=str,
)
def test_invalid_options_are_refused_in_one_sentence(options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as refusal:
        TranslationOptions(**options)
    message = str(refusal.value)
    assert message.endswith(".") and "\n" not in message
    assert str(next(iter(options.values()))) in message


@pytest.mark.parametrize("chosen", [(-1, 5), (5, 5), (7, 5), (0, 21), (20, 21), (25, 30)])
def test_a_slice_range_outside_the_volume_is_refused_with_the_valid_range(
    method: LMIDiffusion, head: Volume, chosen: tuple[int, int]
) -> None:
    with pytest.raises(UserError, match="0:20") as refusal:
        run(method, head, slices=chosen)
    assert f"{chosen[0]}:{chosen[1]}" in str(refusal.value)
    assert str(refusal.value).endswith(".")


# Background -----------------------------------------------------------------------------------------------------------


def head_areas(head: Volume) -> NDArray[np.float64]:
    """Square millimeters of head in each axial slice of the canonical head."""
    return np.asarray((head.array > 0.7 * threshold_otsu(head.array)).sum((0, 1)) * 4.0)


def test_slices_without_head_are_zero_and_skipped(
    method: LMIDiffusion, head: Volume, whole: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    areas = head_areas(head)
    assert 0 < (areas < 200).sum() < 20, "the head has no slices of both kinds"
    evaluations = counted(monkeypatch)
    progress: list[Progress] = []
    run(method, head, progress.append, batch_size=20)
    assert progress[0].slices == (areas >= 200).sum() == evaluations[0]
    np.testing.assert_array_equal(whole.any((0, 1)), areas >= 200)


def test_noise_in_the_background_does_not_count_as_head(head: Volume) -> None:
    noisy = np.abs(head.array + np.random.default_rng(0).normal(0, 15, head.array.shape))
    assert source_of(head.with_array(noisy)).head_slices() == source_of(head).head_slices()


def test_a_slice_range_without_head_is_refused(method: LMIDiffusion, head: Volume) -> None:
    progress: list[Progress] = []
    with pytest.raises(UserError, match="No head was found"):
        image(method, head, slices=(0, 1), on_progress=progress.append)
    assert progress == []


# Cancelling -----------------------------------------------------------------------------------------------------------


class Cancelled(Exception):
    """The caller has had enough."""


@pytest.mark.parametrize("at", [1, 7, 18])
def test_an_exception_in_the_progress_callback_stops_the_translation_and_leaves_no_thread_or_state(
    method: LMIDiffusion, head: Volume, middle: Array, at: int
) -> None:
    threads = set(threading.enumerate())
    seen: list[Progress] = []

    def cancel(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == at:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(method, head, cancel, samples=2, slices=MIDDLE, batch_size=1)
    assert len(seen) == at
    assert set(threading.enumerate()) == threads
    np.testing.assert_array_equal(image(method, head, slices=MIDDLE), middle)


def test_progress_is_reported_after_every_step(method: LMIDiffusion, head: Volume) -> None:
    seen: list[Progress] = []
    run(method, head, seen.append, samples=2, slices=MIDDLE, batch_size=2)
    assert len(seen) == STEPS * 2 * 2


# Memory ---------------------------------------------------------------------------------------------------------------


def counted(
    monkeypatch: pytest.MonkeyPatch, refuse: Callable[[int, int], Exception | None] = lambda batch, call: None
) -> list[int]:
    """Batch sizes that the network is given from now on; `refuse` may answer a call with an exception."""
    batches: list[int] = []
    forward: Forward = ScoreNetwork.forward

    def watched(network: ScoreNetwork, noisy: Tensor, maps: Tensor, sigma: Tensor, pixel_size: float) -> Tensor:
        batches.append(len(noisy))
        error = refuse(len(noisy), len(batches))
        if error is not None:
            raise error
        return forward(network, noisy, maps, sigma, pixel_size)

    monkeypatch.setattr(ScoreNetwork, "forward", watched)
    return batches


OUT_OF_MEMORY = pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.5 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=["cuda", "mps", "cpu"],
)


@OUT_OF_MEMORY
def test_out_of_memory_halves_the_batch_and_changes_no_result(
    method: LMIDiffusion, head: Volume, whole: Array, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    batches = counted(monkeypatch, lambda batch, call: error if batch > 2 else None)
    progress: list[Progress] = []
    result = image(method, head, slices=(1, 10), on_progress=progress.append)
    assert batches[:3] == [8, 4, 2]
    assert set(batches[2:]) == {2, 1}, "the batch grew again"
    np.testing.assert_allclose(result[..., 1:10], whole[..., 1:10], atol=1e-4)
    fractions = [each.fraction for each in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


def test_out_of_memory_within_a_batch_restarts_it_without_progress_falling(
    method: LMIDiffusion, head: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = image(method, head, slices=(7, 12), samples=2, batch_size=4)
    error = torch.OutOfMemoryError("CUDA out of memory.")
    counted(monkeypatch, lambda batch, call: error if call == STEPS + 2 else None)
    progress: list[Progress] = []
    result = image(method, head, slices=(7, 12), samples=2, batch_size=4, on_progress=progress.append)
    np.testing.assert_allclose(result, undisturbed, atol=1e-4)
    fractions = [each.fraction for each in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


@OUT_OF_MEMORY
def test_out_of_memory_with_a_single_slice_is_a_user_error(
    method: LMIDiffusion, head: Volume, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    batches = counted(monkeypatch, lambda batch, call: error)
    with pytest.raises(UserError, match="too little memory") as refusal:
        run(method, head)
    assert batches == [8, 4, 2, 1]
    message = str(refusal.value)
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("memory"), KeyboardInterrupt()])
def test_errors_other_than_out_of_memory_propagate(
    method: LMIDiffusion, head: Volume, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    batches = counted(monkeypatch, lambda batch, call: error)
    with pytest.raises(type(error)) as raised:
        run(method, head)
    assert raised.value is error
    assert len(batches) == 1


# Devices --------------------------------------------------------------------------------------------------------------

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
NO_MPS = pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has MPS")


@pytest.mark.parametrize(
    "name",
    [
        *("", "gpu", "cuda:x", "cuda:-1", "meta", "xpu", "Cpu", "cpu:3", f"cuda:{max(7, torch.cuda.device_count())}"),
        *(pytest.param(name, marks=NO_CUDA) for name in ("cuda", "cuda:0", "cuda:7")),
        pytest.param("mps", marks=NO_MPS),
    ],
)
def test_a_missing_device_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(UserError) as refusal:
        select_device(name)
    message = str(refusal.value)
    assert name in message
    assert message.endswith(".") and "\n" not in message


def test_the_cpu_is_always_there() -> None:
    assert select_device("cpu") == CPU


@NO_CUDA
@NO_MPS
def test_auto_is_the_cpu_where_there_is_nothing_else() -> None:
    assert select_device("auto") == CPU


# --- Precision and threads ---


def test_bfloat16_changes_the_result_by_little_more_than_its_rounding(
    method: LMIDiffusion, head: Volume, middle: Array
) -> None:
    rounded = LMIDiffusion(method.checkpoint, device=CPU, precision=torch.bfloat16)
    difference = image(rounded, head, slices=MIDDLE) - middle
    assert 0 < float(np.abs(difference).max()) < 0.05
    assert float(np.sqrt((difference**2).mean())) < 0.01


def test_bfloat16_rounds_the_networks_products_alone(method: LMIDiffusion, head: Volume) -> None:
    rounded = LMIDiffusion(method.checkpoint, device=CPU, precision=torch.bfloat16)
    dtypes: list[torch.dtype] = []
    inner = rounded.network.unet.first
    handles = [
        inner.register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype)),
        rounded.network.register_forward_pre_hook(lambda module, inputs: dtypes.extend(x.dtype for x in inputs[:3])),
    ]
    image(rounded, head, slices=MIDDLE)
    for handle in handles:
        handle.remove()
    assert dtypes == [torch.float32, torch.float32, torch.float32, torch.bfloat16] * STEPS


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_threads_change_nothing(method: LMIDiffusion, head: Volume, precision: torch.dtype) -> None:
    chosen = LMIDiffusion(method.checkpoint, device=CPU, precision=precision)
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(image(chosen, head, slices=MIDDLE))
    torch.set_num_threads(threads)
    tolerance = 1e-4 if precision == torch.float32 else 0.02
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=tolerance)


def test_auto_is_bfloat16_only_on_processors_that_gain_from_it() -> None:
    gains = hasattr(torch.cpu, "_is_avx512_bf16_supported") and torch.cpu._is_avx512_bf16_supported()
    assert select_precision("auto", CPU) == (torch.bfloat16 if gains else torch.float32)
    assert select_precision("auto", torch.device("cuda")) == torch.float32
    assert select_precision("32", CPU) == torch.float32
    assert select_precision("bf16", CPU) == torch.bfloat16


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="auto, 32, bf16"):
        select_precision("16", CPU)
