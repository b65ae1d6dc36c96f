"""Properties of test-time augmentation: the views of the source that samples are drawn from."""

import numpy as np
import pytest
import torch
from drawing import samples_in_plane
from torch import Tensor

from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.model.score_network import ScoreNetwork
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume
from LMIDiffusionLib.translation.test_time_augmentation import sample_view

NUMBERS = range(8)
LEFT_TO_RIGHT = 2
MIDDLE = [9, 10, 11]
SLICES = torch.rand(2, 1, 24, 16, generator=torch.Generator().manual_seed(0))


def tone(number: int) -> Tensor:
    """Return the curve of a view at intensities rising from 0 to 1."""
    ramp = torch.linspace(0, 1, 1001).view(-1, 1, 1, 1)  # one pixel a slice: there is nothing to flip
    return sample_view(number).apply(ramp).flatten()


def is_mirrored(number: int) -> bool:
    left = torch.zeros(1, 1, 8, 6)
    left[:, :, :4] = 0.5
    shown = sample_view(number).apply(left)
    assert (shown > 0.1).sum() == (left > 0).sum()
    return bool(shown[0, 0, 0, 0] == 0)


def test_one_of_four_views_is_the_unchanged_source_and_the_first_is_not_mirrored() -> None:
    ramp = torch.linspace(0, 1, 1001)
    assert [number for number in range(4) if torch.equal(tone(number), ramp)] == [3]
    assert not is_mirrored(0)


@pytest.mark.parametrize("number", NUMBERS)
def test_intensity_curves_are_increasing_and_keep_air_dark(number: int) -> None:
    toned = tone(number)
    assert toned[0] == 0
    assert toned[-1] > 0.5
    assert toned.max() <= 1
    assert (toned.diff() >= 0).all()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_view_applies_its_curve_and_its_left_right_flip(number: int) -> None:
    toned = torch.from_numpy(np.interp(SLICES, np.linspace(0, 1, 1001), tone(number)))
    expected = toned.flip(LEFT_TO_RIGHT) if is_mirrored(number) else toned
    torch.testing.assert_close(sample_view(number).apply(SLICES).double(), expected, atol=2e-2, rtol=0)


def test_eight_views_are_four_contrasts_each_mirrored_once() -> None:
    tones = [tuple(tone(number).tolist()) for number in NUMBERS]
    assert len(set(tones[:4])) == 4
    assert tones[:4] == tones[4:]
    mirrored = [is_mirrored(number) for number in NUMBERS]
    assert sum(mirrored[:4]) == sum(mirrored[4:]) == 2
    assert all(first != second for first, second in zip(mirrored[:4], mirrored[4:], strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_the_unflipped_denoiser_returns_the_orientation_of_the_source(number: int) -> None:
    view, noise = sample_view(number), torch.randn(2, 1, 24, 16, generator=torch.Generator().manual_seed(1))
    shown = view.apply(SLICES)
    denoise = view.unflipped(lambda noisy, sigma: shown * noisy + sigma)
    toned = shown.flip(LEFT_TO_RIGHT) if is_mirrored(number) else shown
    torch.testing.assert_close(denoise(noise, 0.5), toned * noise + 0.5)


def test_samples_of_mirrored_views_lie_on_the_source(
    tiny_checkpoint: Checkpoint, head: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def self_map(network: ScoreNetwork, noisy: Tensor, maps: Tensor, sigma: Tensor, pixel_size: float) -> Tensor:
        return maps[:, :1]

    monkeypatch.setattr(ScoreNetwork, "forward", self_map)
    method = LMIDiffusion(tiny_checkpoint, device=torch.device("cpu"))
    source = head.with_array(head.array * np.linspace(0.3, 1, len(head.array), dtype=np.float32)[:, None, None])
    options = TranslationOptions(steps=2, samples=len(NUMBERS))
    samples = samples_in_plane(SlicedVolume.from_volume(source, pixel_size=2.0), MIDDLE, method, options).flatten(1)
    mirrored = samples[0].view(len(MIDDLE), *head.array.shape[:2]).flip(1).flatten()
    for sample in samples:
        first, second = (np.corrcoef(sample, image)[0, 1] for image in (samples[0], mirrored))
        assert first > second + 0.1
