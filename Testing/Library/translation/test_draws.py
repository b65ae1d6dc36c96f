"""Draws beside the translation: the expected error and the sample."""

import dataclasses

import numpy as np
import pytest
import torch
from drawing import samples_in_plane
from numpy.typing import NDArray

from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.interface.events import Event, Stage
from LMIDiffusionLib.interface.progress import Progress
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.translation import draws
from LMIDiffusionLib.translation.draws import ERROR_DRAWS, ERROR_FACTOR, FEW_SLICES, error_of_slices
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import Extra, TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import ScanSettings, translate, translate_scan
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume
from LMIDiffusionLib.translation.translate_volume import head_part

MIDDLE = (9, 12)
OPTIONS = TranslationOptions(steps=2, samples=2, slices=MIDDLE)
INSIDE = np.s_[..., slice(*MIDDLE)]


@pytest.fixture(scope="module")
def method(tiny_checkpoint: Checkpoint) -> LMIDiffusion:
    return LMIDiffusion(tiny_checkpoint, device=torch.device("cpu"))


def drawn_images(source: SlicedVolume, method: LMIDiffusion, options: TranslationOptions) -> NDArray[np.float32]:
    """All samples (K, I, J, K) of the middle slices, drawn in the box about the head; 0 elsewhere."""
    box, part, indices = head_part(source, [*range(*MIDDLE)])
    images = np.zeros((options.samples, *part.scaled.shape), np.float32)
    samples = samples_in_plane(part, indices, method, options)[:, :, 0].numpy()
    images[..., indices] = np.moveaxis(samples, 1, 3)
    return np.stack([box.put_back(each) for each in images])


def test_extras_leave_the_translation_as_it_is_to_the_last_bit(method: LMIDiffusion, head: Volume) -> None:
    plain = translate(head, method, OPTIONS)
    everything = translate(head, method, OPTIONS, extras=Extra)
    np.testing.assert_array_equal(everything.volume.array, plain.volume.array)
    assert (plain.uncertainty, plain.expected_error, plain.sample) == (None, None, None)


def test_the_expected_error_is_the_distance_of_the_draws_from_the_translation(
    method: LMIDiffusion, head: Volume
) -> None:
    result = translate(head, method, OPTIONS, extras=[Extra.EXPECTED_ERROR])
    source = SlicedVolume.from_volume(head, pixel_size=2.0)
    options = dataclasses.replace(OPTIONS, steps=ERROR_DRAWS.steps, samples=ERROR_DRAWS.samples)
    box, part, indices = head_part(source, [*range(*MIDDLE)])
    distances = drawn_images(source, method, options) - result.volume.array * box.inside
    assert result.uncertainty is not None and result.expected_error is not None
    found = result.uncertainty.array
    expected = ERROR_FACTOR * np.sqrt(np.square(distances).mean(0))
    np.testing.assert_allclose(found[INSIDE], expected[INSIDE], atol=1e-5)
    assert found.dtype == np.float32 and found.shape == head.array.shape
    assert not found[..., : MIDDLE[0]].any() and not found[..., MIDDLE[1] :].any()
    np.testing.assert_array_equal(result.uncertainty.affine, head.affine)
    is_scanned = box.cut(np.ones(found.shape, np.float32))[..., indices] > 0
    is_head = np.moveaxis(part.outlines(indices)[:, 0].numpy(), 0, 2)
    of_head = box.cut(found.astype(np.float32))[..., indices][is_scanned & is_head]
    assert result.expected_error == pytest.approx(of_head.mean(), rel=1e-4)


def test_air_is_certain_and_the_head_is_not(method: LMIDiffusion, head: Volume) -> None:
    result = translate(head, method, OPTIONS, extras=[Extra.EXPECTED_ERROR])
    outlines = SlicedVolume.from_volume(head, pixel_size=2.0).outlines([*range(*MIDDLE)])[:, 0].numpy()
    assert result.uncertainty is not None
    error = np.moveaxis(result.uncertainty.array[INSIDE], 2, 0)
    assert error[~outlines].max() < 1e-3
    assert (error[outlines] > 0.01).mean() > 0.9


def test_the_mean_alone_is_that_of_the_map_where_all_slices_are_drawn(method: LMIDiffusion, head: Volume) -> None:
    few, all_ = (
        translate(head, method, OPTIONS, extras=[extra]) for extra in (Extra.MEAN_EXPECTED_ERROR, Extra.EXPECTED_ERROR)
    )
    assert few.uncertainty is None
    assert few.expected_error == all_.expected_error


@pytest.mark.parametrize("count", [1, 7, 8, 9, 91])
def test_a_few_slices_lie_evenly_within_the_head(count: int) -> None:
    chosen = draws._spread([*range(10, 10 + count)], FEW_SLICES)
    assert len(chosen) == min(count, FEW_SLICES)
    assert set(chosen) <= set(range(10, 10 + count))
    assert np.mean(chosen) == pytest.approx(10 + (count - 1) / 2, abs=0.51)
    assert np.ptp(np.diff([*chosen, *chosen[-1:]])[:-1]) <= 1 if count > FEW_SLICES else True


def test_slices_of_a_benchmark_have_the_errors_of_the_map(method: LMIDiffusion, head: Volume) -> None:
    result = translate(head, method, OPTIONS, extras=[Extra.EXPECTED_ERROR])
    source = SlicedVolume.from_volume(head, pixel_size=2.0)
    assert result.uncertainty is not None
    found = error_of_slices(source, [*range(*MIDDLE)], result.volume.array, method, OPTIONS)
    np.testing.assert_allclose(found, result.uncertainty.array, atol=1e-6)


def test_a_sample_is_one_draw_and_no_mean(method: LMIDiffusion, head: Volume) -> None:
    result = translate(head, method, OPTIONS, extras=[Extra.SAMPLE])
    source = SlicedVolume.from_volume(head, pixel_size=2.0)
    options = dataclasses.replace(OPTIONS, steps=draws.SAMPLE_DRAWS.steps, samples=1)
    (drawn,) = drawn_images(source, method, options)
    assert result.sample is not None and result.uncertainty is None
    box, _, _ = head_part(source, [*range(*MIDDLE)])
    np.testing.assert_allclose(result.sample.array * box.inside, drawn, atol=1e-5)


def test_drawing_is_a_stage_with_a_progress_of_its_own(method: LMIDiffusion, head: Volume) -> None:
    told: list[Event] = []
    settings = ScanSettings(method.checkpoint, OPTIONS, extras=frozenset(Extra))
    translate_scan(head, method, settings, report=told.append)
    stages = [each for each in told if isinstance(each, Stage)]
    assert stages == [Stage.READING, Stage.TRANSLATING, Stage.DRAWING, Stage.DRAWING, Stage.SEGMENTING]
    ends = [told[place - 1] for place, each in enumerate(told) if isinstance(each, Stage) and place > 1]
    assert all(isinstance(each, Progress) and each.fraction == pytest.approx(1) for each in ends)
