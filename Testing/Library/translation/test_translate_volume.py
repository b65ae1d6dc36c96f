"""Properties of the translation of whole volumes: result, progress, background."""

import dataclasses
import threading

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from translating import CPU, MIDDLE, STEPS, counted, image, run, source_of

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.interface.progress import Progress
from LMIDiffusionLib.lmi import HistogramKernel
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.model.conditioning import Condition
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion

Array = NDArray[np.number]


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
