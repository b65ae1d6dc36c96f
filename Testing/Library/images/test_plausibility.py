"""What is told from a scan, and that scans are not taken for it."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from LMIDiffusionLib.images.plausibility import resembles
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
def test_what_is_no_scan_is_called_by_its_name(kind: str) -> None:
    assert resembles(MISTAKES[kind]()) == kind


def test_label_maps_of_tissue_are_told_from_scans() -> None:
    assert resembles(read_volume(sample_scan("sri24_tissue")).array) == "a label map"
    for name in ("sri24_PDw", "sri24_T1w", "ms_patient04_T2w"):
        assert resembles(read_volume(sample_scan(name)).array) is None


def test_a_scan_in_noise_of_few_bits_or_enlarged_is_a_scan(head: Volume) -> None:
    noise = np.random.default_rng(0).normal(0, 150, head.array.shape)
    assert resembles(head.array + noise) is None
    assert resembles((head.array / 10).astype(np.uint8)) is None
    assert resembles(head.array.round().repeat(2, 0).repeat(2, 1)) is None
    assert resembles(head.array[:, :, 9:10]) is None
