"""Properties of the part of a volume that is translated: the field of view decides nothing."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.translation.head_box import HeadBox
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import Extra, TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import translate
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume

Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@pytest.fixture(scope="module")
def image(tiny_checkpoint: Checkpoint) -> Callable[..., NDArray[np.float32]]:
    """Translates a volume."""
    method = LMIDiffusion(tiny_checkpoint, device=torch.device("cpu"))

    def make(volume: Volume, *, seed: int = 0) -> NDArray[np.float32]:
        result = translate(volume, method, TranslationOptions(steps=1, samples=1, seed=seed))
        return result.volume.array.astype(np.float32)

    return make


def padded(volume: Volume, widths: Padding, fill: Callable[[tuple[int, ...]], NDArray[np.float32]]) -> Volume:
    """The same image in a larger field of view."""
    inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, volume.array.shape, strict=True))
    array = fill(tuple(n + sum(width) for n, width in zip(volume.array.shape, widths, strict=True)))
    array[inside] = volume.array
    affine = volume.affine.copy()
    affine[:3, 3] = (affine @ [*(-before for before, _ in widths), 1])[:3]
    return Volume(array, affine)


def inner(array: NDArray[np.float32], widths: Padding) -> NDArray[np.float32]:
    return array[tuple(slice(before, n - after) for (before, after), n in zip(widths, array.shape, strict=True))]


def zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Rician noise of 2 % of the brightest tissue, as coils leave in air."""
    return np.hypot(*np.random.default_rng(0).normal(0, 20, (2, *shape))).astype(np.float32)


@pytest.mark.parametrize("widths", [((3, 3),) * 3, ((20, 1), (0, 7), (5, 0)), ((60, 60),) * 3])
@pytest.mark.parametrize("fill", [zeros, noise])
def test_a_larger_field_of_view_changes_less_than_another_seed(
    widths: Padding, fill: Callable[..., NDArray[np.float32]], head: Volume, image: Callable[..., NDArray[np.float32]]
) -> None:
    """Noise begins right where the first field of view ended."""
    scan = Volume(head.array[2:-2, 2:-2], head.affine)
    expected = image(scan)
    found = inner(image(padded(scan, widths, fill)), widths)
    shown = expected > 0.1
    of_seeds = np.abs(image(scan, seed=1) - expected)[shown].mean()
    assert np.abs(found - expected)[shown].mean() < of_seeds


@pytest.mark.parametrize("fill", [zeros, noise])
def test_a_larger_field_of_view_changes_draws_less_than_another_seed(
    fill: Callable[..., NDArray[np.float32]], head: Volume, tiny_checkpoint: Checkpoint
) -> None:
    """The expected error of each voxel, its mean, and a sample."""
    method, widths = LMIDiffusion(tiny_checkpoint, device=torch.device("cpu")), ((20, 3), (0, 7), (5, 0))
    larger = padded(head, widths, fill)

    def draw(volume: Volume, *, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        first = widths[2][0] if volume is larger else 0
        options = TranslationOptions(steps=1, samples=1, seed=seed, slices=(9 + first, 12 + first))
        result = translate(volume, method, options, extras=[Extra.EXPECTED_ERROR, Extra.SAMPLE])
        assert result.uncertainty and result.sample and result.expected_error
        arrays = (each.array.astype(np.float32) for each in (result.uncertainty, result.sample))
        error, sample = (inner(each, widths) if volume is larger else each for each in arrays)
        return error, sample, result.expected_error

    (error, sample, mean), *others = draw(head, seed=0), draw(larger, seed=0), draw(head, seed=1)
    of_padding, of_seed = ([np.abs(a - error).mean(), np.abs(b - sample).mean(), abs(c - mean)] for a, b, c in others)
    assert sample.any() and error.any()
    assert np.less(of_padding, of_seed).all()


def test_the_box_is_put_back_in_its_place_and_holds_all_of_the_head(head: Volume) -> None:
    source = SlicedVolume.from_volume(padded(head, ((9, 9),) * 3, zeros), pixel_size=2.0)
    box = box_of(source)
    part = box.part_of(source)
    restored = box.put_back(part.scaled)
    assert restored.shape == source.scaled.shape
    assert part.scaled.size < source.scaled.size
    np.testing.assert_array_equal(restored[source.bright], source.scaled[source.bright])
    place = np.array([20, 24, 14])
    assert part.scaled[tuple(place - box.first + box.air)] == source.scaled[tuple(place)]
    np.testing.assert_allclose(part.grid.affine @ [*(place - box.first + box.air), 1], source.grid.affine @ [*place, 1])


def test_a_box_that_reaches_beyond_the_volume_is_padded_with_zeros() -> None:
    box = HeadBox((4, 6, 5), (-2, 1, 0), (5, 8, 5))
    array = np.arange(1.0, 121, dtype=np.float32).reshape(4, 6, 5)
    part = box.cut(array)
    assert part.shape == (7, 7, 5)
    np.testing.assert_array_equal(part[2:6, :5], array[:, 1:])
    assert part.sum() == array[:, 1:].sum()
    np.testing.assert_array_equal(box.put_back(part)[:, 1:], array[:, 1:])
    assert box.put_back(part)[:, 0].sum() == 0


def test_specks_of_noise_are_no_head(head: Volume) -> None:
    specks = head.array.copy()
    specks[0, 0, 5] = specks[-1, -1, 7] = 3000
    boxes = [box_of(SlicedVolume.from_volume(each, pixel_size=2.0)) for each in (head, head.with_array(specks))]
    assert boxes[0] == boxes[1]


def box_of(source: SlicedVolume) -> HeadBox:
    """The box where the middle slice is asked for."""
    asked = np.zeros_like(source.scaled)
    asked[:, :, 10] = 1
    return HeadBox.about(source, asked)


def test_air_beyond_the_box_keeps_its_level(head: Volume, image: Callable[..., NDArray[np.float32]]) -> None:
    """The level that the air of a whole translation has had within the box."""
    widths = ((20, 20), (20, 20), (0, 0))
    scan = padded(Volume(head.array, head.affine), widths, noise)
    result = image(scan)[:, :, 10]
    corner = result[:10, :10]
    assert 0 < corner.mean() < 0.1 and corner.std() < 0.01
