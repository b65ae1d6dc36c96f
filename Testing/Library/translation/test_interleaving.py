"""Samples of thin slices: which slices are drawn, and what lies between them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from drawing import samples_in_plane
from numpy.typing import NDArray
from torch import Tensor

from LMIDiffusionLib.images.air import smooth_air
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.translation.interleaving import Interleaving
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import translate
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume

Affine = NDArray[np.float64]
HeadMaker = Callable[[tuple[int, int, int], Affine], Volume]
Centered = Callable[[tuple[int, int, int], tuple[float, float, float]], Affine]

SHAPE = (40, 48, 40)


class Counting(LMIDiffusion):
    """Keeps which slices are drawn of each sample."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint, device=torch.device("cpu"))
        self.drawn: dict[int, list[int]] = {}

    def sample(self, source: SlicedVolume, indices: list[int], *, number: int, **rest: Any) -> Tensor:
        self.drawn.setdefault(number, []).extend(indices)
        return super().sample(source, indices, number=number, **rest)


@pytest.fixture
def method(tiny_checkpoint: Checkpoint) -> Counting:
    return Counting(tiny_checkpoint)


@pytest.fixture(scope="module")
def thin(head_on: HeadMaker, centered: Centered) -> Volume:
    """A head in slices of 1 mm, for a checkpoint with pixels of 2 mm."""
    return head_on(SHAPE, centered(SHAPE, (2.0, 2.0, 1.0)))


@pytest.mark.parametrize(
    ("spacing", "samples", "step"),
    [
        (1.0, 4, 2),
        (1.0, 2, 2),
        (1.0, 1, 1),
        (0.5, 4, 4),
        (0.5, 8, 4),
        (0.5, 3, 3),
        (0.67, 4, 2),
        (1.2, 4, 1),
        (3.3, 4, 1),
    ],
)
def test_interleaved_slices_are_at_most_a_pixel_apart_and_each_is_generated_in_some_sample(
    head: Volume, spacing: float, samples: int, step: int
) -> None:
    affine = np.diag([2.0, 2.0, spacing, 1.0])
    source = SlicedVolume.from_volume(Volume(head.array, affine), pixel_size=2.0)
    interleaving = Interleaving.from_volume(source, samples=samples, samples_of_all_planes=samples)
    assert interleaving.step == step
    for index in source.head_slices():
        around = [interleaving.neighbors(index, number=number) for number in range(samples)]
        assert (index, index) in around
        assert all(below <= index <= above and (above - below) * spacing <= 2.01 for below, above in around)


@pytest.mark.parametrize(("pixel_size", "step"), [(1.0, 2), (1.4, 2), (2.0, 2), (3.0, 3)])
def test_slices_of_one_millimeter_are_generated_two_apart_on_fine_pixels_and_a_pixel_apart_on_coarse_ones(
    head: Volume, pixel_size: float, step: int
) -> None:
    source = SlicedVolume.from_volume(Volume(head.array, np.diag([2.0, 2.0, 1.0, 1.0])), pixel_size=pixel_size)
    assert Interleaving.from_volume(source, samples=4, samples_of_all_planes=4).step == step


def test_each_sample_generates_half_of_the_slices_of_half_the_thickness(method: Counting, thin: Volume) -> None:
    translate(thin, method, TranslationOptions(samples=4))
    count = len(SlicedVolume.from_volume(thin, pixel_size=2.0).head_slices())
    for indices in method.drawn.values():
        assert len(indices) == len(set(indices)), "no slice is drawn twice"
        assert count / 2 <= len(indices) <= count / 2 + 2
    assert len(method.drawn) == 4


@pytest.mark.parametrize("samples", [1, 2])
def test_interleaved_slices_do_not_depend_on_range_or_batch_size(method: Counting, thin: Volume, samples: int) -> None:
    options = TranslationOptions(samples=samples)
    whole = translate(thin, method, options)
    for chosen, size in (((17, 18), 8), ((10, 21), 1), ((11, 20), 3)):
        some = dataclasses.replace(options, slices=chosen, batch_size=size)
        part = translate(thin, method, some)
        inside = np.s_[..., slice(*chosen)]
        np.testing.assert_allclose(part.volume.array[inside], whole.volume.array[inside], atol=1e-4)


def test_interpolated_slices_are_closer_to_generated_ones_than_neighbors_are(method: Counting, thin: Volume) -> None:
    source = SlicedVolume.from_volume(thin, pixel_size=2.0)
    indices = source.head_slices()[4:-4]
    options = TranslationOptions(samples=2)
    samples = samples_in_plane(source, indices, method, options)
    interleaving = Interleaving.from_volume(source, samples=2, samples_of_all_planes=2)
    for number in range(2):
        drawn = method.sample(source, indices, number=number, options=options, on_step=lambda: None)
        between = torch.tensor([len({*interleaving.neighbors(index, number=number)}) > 1 for index in indices])
        assert 0.4 < between.float().mean() < 0.6
        torch.testing.assert_close(samples[number][~between], drawn[~between], atol=1e-4, rtol=0)
        error = (samples[number] - drawn)[between].abs().mean()
        neighbor = (drawn[1:] - drawn[:-1]).abs().mean()
        assert 0 < error < neighbor
        air = ~source.outlines(indices)
        level = smooth_air(source.slices[indices], air, pixel_size=2.0)
        torch.testing.assert_close(samples[number][air], level[air])


@pytest.mark.parametrize("size", [1, 3, 8])
def test_progress_ends_at_one(method: Counting, thin: Volume, size: int) -> None:
    fractions: list[float] = []
    options = TranslationOptions(samples=2, slices=(14, 21), batch_size=size)
    translate(thin, method, options, on_progress=lambda each: fractions.append(each.fraction))
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
