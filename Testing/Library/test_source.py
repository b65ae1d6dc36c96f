"""What a method sees of a source: a slice, and the slices about it."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from grids import affine_of

from LMIDiffusionLib.source import SlicedSource
from LMIDiffusionLib.volume import Volume

_SHAPE = (36, 40, 24)


def _ramp(spacing: float) -> Volume:
    """Intensities that rise with the height in millimetres, by .005 each."""
    heights = 0.005 * spacing * np.arange(_SHAPE[2], dtype=np.float32)
    return Volume(np.broadcast_to(heights, _SHAPE).copy(), affine_of((1.0, 1.0, spacing)))


def _sliced(volume: Volume) -> SlicedSource:
    return SlicedSource.of(volume, pixel_size=2.0).with_intensities(volume.array.astype(np.float32))


@pytest.mark.parametrize("spacing", [0.7, 1.0, 2.0, 5.0])
def test_neighbours_lie_a_pixel_below_and_above_whatever_the_spacing_and_orientation(
    spacing: float, orientations: Callable[[Volume], Iterator[tuple[Volume, object]]]
) -> None:
    indices = [0, 1, 11, 23]
    heights = spacing * torch.tensor(indices)
    top = spacing * (_SHAPE[2] - 1)
    expected = torch.stack([heights, (heights - 2).clamp(min=0), (heights + 2).clamp(max=top)], 1)
    for volume, _ in orientations(_ramp(spacing)):
        around = _sliced(volume).padded(indices, stride=1, offsets=(0, -1, 1))
        torch.testing.assert_close(around.mean((2, 3)), 0.005 * expected, atol=1e-5, rtol=0)


def test_a_slice_without_neighbours_is_its_own_alone() -> None:
    source = _sliced(_ramp(2.0))
    indices = [3, 9]
    padded = source.padded(indices, stride=8)
    assert padded.shape == (2, 1, 24, 24)
    torch.testing.assert_close(padded[:, :, 3:21, 2:22], source.slices[indices])
