"""Properties of noise, samples, samplers and guidance."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import samples_in_plane
from numpy.typing import NDArray
from translating import CPU, MIDDLE, STEPS, counted, image, moments_of, outline, run, samples_of, source_of

from LMIDiffusionLib.images.normalization import to_unit_scale
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from LMIDiffusionLib.model.denoisers import conditional_denoiser
from LMIDiffusionLib.translation.guided_upsampling import guided_upsampling
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.translate_volume import head_part

Affine = NDArray[np.float64]
Array = NDArray[np.number]
HeadMaker = Callable[[tuple[int, int, int], Affine], Volume]
Centered = Callable[[tuple[int, int, int], tuple[float, float, float]], Affine]


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


def test_air_has_the_level_of_the_source_without_its_noise(method: LMIDiffusion, head: Volume) -> None:
    noise = np.random.default_rng(0).rayleigh(0.005 * head.array.max(), head.array.shape)
    noisy = head.with_array((head.array + noise).astype(np.float32))
    result, air, inside = run(method, noisy, slices=MIDDLE, samples=2), ~outline(noisy), outline(noisy)
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
    both, middle = outline(head) & outline(mirrored), np.s_[..., slice(*MIDDLE)]
    assert both.mean() > 0.2
    np.testing.assert_allclose(first[middle][both], second[middle][both], atol=1e-5)
