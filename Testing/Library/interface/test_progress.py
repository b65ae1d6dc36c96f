"""Progress of translations."""

import pytest

from LMIDiffusionLib.interface.progress import Clock


def test_progress_counts_samples_of_planes_with_different_numbers_of_samples() -> None:
    clock = Clock(slices=30, steps=2, samples=10 * 3 + 20 * 1)
    fractions = []
    for batch, samples in ((10, 3), (20, 1)):
        clock.begin(batch, samples=samples)
        fractions += [clock.step().fraction for _ in range(2 * samples)]
        clock.finish()
    assert fractions == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0])


def test_progress_does_not_fall_when_a_batch_is_restarted() -> None:
    clock = Clock(slices=8, steps=1, samples=16)
    clock.begin(8, samples=2)
    before = clock.step().fraction
    clock.begin(4, samples=2)
    assert clock.step().fraction == before == 0.5
