"""Baselines without training: identity, inversion, histogram matching, SDEdit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from drawing import samples_in_plane
from scipy.stats import ks_2samp
from skimage.exposure import match_histograms
from torch import Tensor

from LMIDiffusionLib.baselines import HistogramMatching, Identity, Inversion, SDEdit
from LMIDiffusionLib.images.air import smooth_air
from LMIDiffusionLib.images.normalization import head_mask, to_unit_scale
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.model.score_network import ScoreNetwork
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import ScanSettings, translate_scan
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume
from LMIDiffusionLib.translation.translator import Translator

CPU = torch.device("cpu")
INDICES = [9, 10, 11]
OPTIONS = TranslationOptions(steps=6, samples=1)


def slices_of(method: Translator, volume: Volume, options: TranslationOptions = OPTIONS) -> Tensor:
    """(3, 1, H, W)."""
    source = SlicedVolume.from_volume(volume, pixel_size=2.0)
    return samples_in_plane(source, INDICES, method, options).mean(0)


@pytest.fixture
def target_slices(head: Volume) -> Tensor:
    """Slices of the same head in another contrast."""
    array = to_unit_scale(head.array)
    other = np.where(head_mask(array), np.sqrt(1 - 0.8 * array), array)
    return torch.from_numpy(np.moveaxis(to_unit_scale(other), 2, 0)[:, None].copy())


@pytest.fixture
def histogram_matching(target_slices: Tensor) -> HistogramMatching:
    return HistogramMatching().fit([target_slices.numpy()])


def test_identity_gives_the_source_on_the_common_scale(tiny_checkpoint: Checkpoint, head: Volume) -> None:
    translation = translate_scan(head, Identity(), ScanSettings(tiny_checkpoint))
    wanted = to_unit_scale(head.array)
    np.testing.assert_allclose(translation.volume.array[:, :, INDICES], wanted[:, :, INDICES], atol=1e-6)


def test_matched_heads_have_the_targets_histogram(
    histogram_matching: HistogramMatching, head: Volume, target_slices: Tensor
) -> None:
    source = to_unit_scale(head.array)
    matched, target = histogram_matching.map(source), target_slices.numpy()
    distance = ks_2samp(matched[head_mask(source)], target[head_mask(target)]).statistic
    assert distance < 0.01
    assert ks_2samp(source[head_mask(source)], target[head_mask(target)]).statistic > 0.2


def test_matching_agrees_with_an_independent_library_inside_the_head(
    histogram_matching: HistogramMatching, head: Volume, target_slices: Tensor
) -> None:
    source, target = to_unit_scale(head.array), target_slices.numpy()
    inside = head_mask(source)
    wanted = match_histograms(source[inside], target[head_mask(target)])
    assert np.abs(histogram_matching.map(source)[inside] - wanted).mean() < 0.005


def test_matching_keeps_the_order_of_intensities_and_dark_air(
    histogram_matching: HistogramMatching, head: Volume
) -> None:
    source = to_unit_scale(head.array)
    matched = histogram_matching.map(source)
    assert (np.diff(matched.flatten()[np.argsort(source.flatten(), kind="stable")]) >= 0).all()
    assert (matched[source == 0] == 0).all()


def test_inversion_reverses_the_intensities_of_the_head_and_keeps_air_dark(head: Volume) -> None:
    source = to_unit_scale(head.array)
    inverted, inside = Inversion().map(source), head_mask(source)
    assert (np.diff(inverted[inside][np.argsort(source[inside], kind="stable")]) <= 0).all()
    assert inverted[~inside].max() <= source[~inside].max() * 1.5
    np.testing.assert_allclose(np.median(inverted[head_mask(inverted)]), 0.5, atol=0.01)


def denoised_towards(image: float) -> Callable[[ScoreNetwork, Tensor, Tensor, Tensor, float], Tensor]:
    def forward(self: ScoreNetwork, noisy: Tensor, maps: Tensor, sigma: Tensor, pixel_size: float) -> Tensor:
        assert not maps.any(), "SDEdit must not see the source's maps"
        return torch.full_like(noisy, image)

    return forward


def test_sdedit_denoises_without_the_condition(
    tiny_checkpoint: Checkpoint, head: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScoreNetwork, "forward", denoised_towards(0.4))
    result = slices_of(SDEdit(tiny_checkpoint, device=CPU, start=0.5), head)
    middle = result[..., 14:26, 16:32]  # the air is the source's
    torch.testing.assert_close(middle, torch.full_like(middle, 0.4))


@pytest.mark.parametrize("start", [0.1, 0.3])
def test_sdedit_leaves_a_source_that_fits_the_prior(
    tiny_checkpoint: Checkpoint, head: Volume, monkeypatch: pytest.MonkeyPatch, start: float
) -> None:
    """With the exact denoiser of a source that is the only image there is, any start comes back to it."""
    source = slices_of(Identity(), head)
    translator = SDEdit(tiny_checkpoint, device=CPU, start=start)

    def forward(self: ScoreNetwork, noisy: Tensor, maps: Tensor, sigma: Tensor, pixel_size: float) -> Tensor:
        return source

    monkeypatch.setattr(ScoreNetwork, "forward", forward)
    sliced = SlicedVolume.from_volume(head, pixel_size=2.0)
    torch.testing.assert_close(slices_of(translator, head), sliced.with_air(source, INDICES))


def test_sdedit_with_a_mapping_starts_from_the_mapped_source_and_keeps_its_air(
    tiny_checkpoint: Checkpoint, head: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = list[Tensor]()

    def forward(self: ScoreNetwork, state: Tensor, maps: Tensor, sigma: Tensor, pixel_size: float) -> Tensor:
        noisy.append(state)
        return torch.full_like(state, 0.4)

    monkeypatch.setattr(ScoreNetwork, "forward", forward)
    result = slices_of(SDEdit(tiny_checkpoint, device=CPU, start=0.01, mapping=Inversion()), head)
    source = SlicedVolume.from_volume(head, pixel_size=2.0)
    inverted = source.grid.slices(Inversion().map(source.scaled))[INDICES]
    assert float((noisy[0] - inverted).abs().mean()) < 0.02 < float((noisy[0] - source.slices[INDICES]).abs().mean())
    outlines = source.outlines(INDICES)
    air = smooth_air(source.slices[INDICES], ~outlines, pixel_size=2.0)
    assert torch.equal(result[~outlines], air[~outlines])
    assert (result[outlines] == 0.4).all()


def test_sdedit_changes_more_the_later_it_starts(tiny_checkpoint: Checkpoint, head: Volume) -> None:
    source = slices_of(Identity(), head)
    changes = [
        float((slices_of(SDEdit(tiny_checkpoint, device=CPU, start=t), head) - source).abs().mean())
        for t in (0.05, 0.3, 0.6)
    ]
    assert changes == sorted(changes)
    assert changes[0] < 0.5 * changes[2]


def test_sdedit_at_t1_starts_from_pure_noise_and_forgets_the_source(
    tiny_checkpoint: Checkpoint, head: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[float]()
    original = ScoreNetwork.forward

    def forward(self: ScoreNetwork, noisy: Tensor, maps: Tensor, sigma: Tensor, pixel_size: float) -> Tensor:
        seen.append(float(sigma[0]))
        return original(self, noisy, maps, sigma, pixel_size)

    monkeypatch.setattr(ScoreNetwork, "forward", forward)
    free = slices_of(SDEdit(tiny_checkpoint, device=CPU, start=1.0), head)
    assert max(seen) == pytest.approx(tiny_checkpoint.sde.sigma_max)
    steered = slices_of(LMIDiffusion(tiny_checkpoint, device=CPU), head)
    assert float((free - steered).abs().mean()) > 0.01


def test_a_baseline_translates_whole_volumes_too(
    tiny_checkpoint: Checkpoint, histogram_matching: HistogramMatching, head: Volume
) -> None:
    values = translate_scan(head, histogram_matching, ScanSettings(tiny_checkpoint)).volume.array
    assert values.shape == head.array.shape
    with_head = SlicedVolume.from_volume(head, pixel_size=2.0).head_slices()
    assert with_head == [k for k in range(head.array.shape[2]) if values[:, :, k].any()]
