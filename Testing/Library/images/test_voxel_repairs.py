"""Properties of repairs: lost heads are refused, lost air is not, and wrapped numbers are restored."""

import numpy as np
import pytest
from numpy.typing import NDArray

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.images.voxel_repairs import without_gaps, without_wraps


def gaps_in(volume: NDArray[np.number], where: NDArray[np.bool_]) -> None:
    holed = np.where(where, np.nan, volume)
    without_gaps(holed, np.isfinite(holed), "scan.nii")


@pytest.fixture(scope="module")
def noisy(head: Volume) -> NDArray[np.number]:
    """The head in noisy air, which leaves something where the head is lost."""
    padded = np.pad(head.array, ((6, 6), (6, 6), (4, 4)))
    return padded + np.random.default_rng(0).rayleigh(20, padded.shape)


@pytest.mark.parametrize("level", [100, 300, 700])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_scan_whose_bright_voxels_are_lost_is_refused(noisy: NDArray[np.number], level: float, value: float) -> None:
    holed = np.where(noisy > level, value, noisy)
    with pytest.raises(UserError, match="of the head; give a complete scan"):
        without_gaps(holed, np.isfinite(holed), "scan.nii")


def test_a_lost_head_that_reaches_the_border_below_is_refused(noisy: NDArray[np.number]) -> None:
    cut = noisy[:, :, 12:]
    with pytest.raises(UserError, match="of the head"):
        gaps_in(cut, cut > 100)


def test_lost_air_is_none_of_the_head(noisy: NDArray[np.number]) -> None:
    gaps_in(noisy, noisy < 100)
    gaps_in(noisy, (noisy < 100) & (np.random.default_rng(1).random(noisy.shape) < 0.4))
    corner = np.add.outer(np.add.outer(*map(np.arange, noisy.shape[:2])), np.arange(noisy.shape[2])) < 12
    gaps_in(noisy, corner)


@pytest.mark.parametrize("share", [0.002, 0.01, 0.1])
def test_numbers_above_32767_that_became_negative_are_restored(head: Volume, share: float) -> None:
    scaled = head.array / np.quantile(head.array, 1 - share) * 32767
    expected = np.clip(scaled, 0, 65535).astype(np.uint16)
    found, notices = without_wraps(expected.view(np.int16), "scan.nii")
    np.testing.assert_array_equal(found, expected)
    assert "above 32767" in notices[0].message


@pytest.mark.parametrize("shift", [0, -200, -1000])
def test_negative_voxels_of_air_are_left_alone(head: Volume, shift: int) -> None:
    values = (head.array * 12 + shift).astype(np.int16)
    found, notices = without_wraps(values, "scan.nii")
    assert found is values and not notices
