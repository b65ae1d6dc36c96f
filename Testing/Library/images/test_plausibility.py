"""Volumes that are no scans are recognized, and scans are not taken for them."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from LMIDiffusionLib.images.plausibility import check_plausibility, has_bright_noise, resembles
from LMIDiffusionLib.images.volume import Volume, read_volume
from LMIDiffusionLib.jobs.demo import sample_scan

_SHAPE = (20, 24, 10)


def _ramp() -> NDArray[np.float64]:
    x, y, z = np.meshgrid(*map(np.arange, _SHAPE), indexing="ij")
    return np.asarray(x + 0.3 * y + 2.0 * z)


MISTAKES: dict[str, Callable[[], NDArray[np.number]]] = {
    "a binary mask": lambda: (_ramp() > 20).astype(np.uint8),
    "a label map": lambda: np.random.default_rng(0).integers(0, 90, (5, 6, 5)).repeat(4, 0).repeat(4, 1).repeat(4, 2),
    "noise": lambda: np.random.default_rng(0).normal(100, 20, _SHAPE),
    "a ramp": lambda: _ramp() + np.random.default_rng(0).normal(0, 0.5, _SHAPE),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_masks_label_maps_noise_and_ramps_are_recognized(kind: str) -> None:
    assert resembles(MISTAKES[kind]()) == kind


def test_tissue_maps_are_recognized_and_bundled_scans_are_plausible() -> None:
    assert resembles(read_volume(sample_scan("sri24_tissue")).array) == "a label map"
    for name in ("sri24_PDw", "sri24_T1w", "ms_patient04_T2w"):
        assert resembles(read_volume(sample_scan(name)).array) is None


def test_noisy_coarsely_quantized_and_enlarged_scans_are_plausible(head: Volume) -> None:
    noise = np.random.default_rng(0).normal(0, 150, head.array.shape)
    assert resembles(head.array + noise) is None
    assert resembles((head.array / 10).astype(np.uint8)) is None
    assert resembles(head.array.round().repeat(2, 0).repeat(2, 1)) is None
    assert resembles(head.array[:, :, 9:10]) is None


@pytest.mark.parametrize("air", [0.0, 20.0, 60.0])
def test_noise_about_the_head_is_told_if_it_is_as_bright_as_the_head(head: Volume, air: float) -> None:
    generator = np.random.default_rng(0)
    padded = np.pad(head.array, 2)
    clean = padded + generator.rayleigh(air, padded.shape) if air else padded
    assert not has_bright_noise(clean)
    noisy = np.where(padded < 50, generator.uniform(0, padded.max(), padded.shape), padded)
    assert has_bright_noise(noisy)


@pytest.mark.parametrize(("count", "text"), [(1, "has only 1 slice,"), (3, "has only 3 slices,"), (4, "")])
def test_a_localizer_of_few_slices_gets_a_notice(head: Volume, count: int, text: str) -> None:
    notices = check_plausibility(head.array[:, :, 8 : 8 + count], "survey")
    assert [each.message.startswith(f"survey {text}") for each in notices] == ([True] if text else [])
