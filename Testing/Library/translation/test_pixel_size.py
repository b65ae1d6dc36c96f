import dataclasses

import numpy as np
import pytest
import torch

from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.interface.presets import PRESETS
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.model.score_network import ScoreNetwork
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.pixel_size import choose_pixel_size
from LMIDiffusionLib.translation.scan_pipeline import ScanSettings, prepare_scan, translate

_TURNED = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def _affine(*spacing: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = _TURNED @ np.diag(spacing)
    return affine


@pytest.fixture(scope="module")
def several(tiny_checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint for pixels of 1 to 2 mm whose network has learned something of their size."""
    settings = dataclasses.replace(tiny_checkpoint.network, finest_pixel_size=1.0)
    network = ScoreNetwork(settings)
    network.load_state_dict(tiny_checkpoint.weights, strict=False)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "size_embedding" in name:
                parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(0))
    return dataclasses.replace(tiny_checkpoint, network=settings, weights=network.state_dict(), pixel_size=2.0)


@pytest.fixture(scope="module")
def head() -> Volume:
    """A ball of 15 cm with a smaller one in it, in slices of 6 mm of pixels of 1.2 mm."""
    shape, spacing = (140, 140, 26), (1.2, 1.2, 6.0)
    axes = [(np.arange(count) - (count - 1) / 2) * each for count, each in zip(shape, spacing, strict=True)]
    radius = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
    values = np.where(radius < 75, 300.0, 0) + np.where(radius < 40, 300.0, 0)
    return Volume(values.astype(np.float32), np.diag([*spacing, 1.0]))


@pytest.mark.parametrize("samples", [1, 4, 8])
@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (1.0, 1.0, 5.0), (3.0, 3.0, 3.0)])
def test_a_checkpoint_of_one_size_keeps_it(
    tiny_checkpoint: Checkpoint, samples: int, spacing: tuple[float, float, float]
) -> None:
    options = TranslationOptions(samples=samples)
    assert choose_pixel_size(_affine(*spacing), tiny_checkpoint, options) == tiny_checkpoint.pixel_size


@pytest.mark.parametrize(
    ("preset", "spacing", "expected"),
    [
        ("fast", (0.5, 0.5, 0.5), 2.0),
        ("paper", (0.5, 0.5, 0.5), 2.0),
        ("balanced", (0.5, 0.5, 0.5), 1.4),
        ("balanced", (1.6, 1.6, 1.6), 1.6),
        ("balanced", (5.0, 1.5, 1.5), 1.5),
        ("best", (0.5, 0.5, 5.0), 1.0),
        ("best", (1.2, 5.0, 1.1), 1.2),
        ("best", (3.0, 3.0, 1.0), 2.0),
    ],
)
def test_one_of_several_sizes_takes_what_the_scans_own_slices_have_and_the_preset_allows(
    several: Checkpoint, preset: str, spacing: tuple[float, float, float], expected: float
) -> None:
    chosen = choose_pixel_size(_affine(*spacing), several, TranslationOptions.from_preset(preset))
    assert chosen == pytest.approx(expected)


def test_every_preset_has_its_pixels_from_largest_to_finest(several: Checkpoint) -> None:
    sizes = [
        choose_pixel_size(_affine(0.5, 0.5, 0.5), several, TranslationOptions.from_preset(name))
        for name in ("fast", "balanced", "best")
    ]
    assert set(PRESETS) == {"fast", "balanced", "best", "paper"}
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3


def test_a_scan_is_cut_on_the_chosen_pixels(several: Checkpoint, head: Volume) -> None:
    for preset, size in (("fast", 2.0), ("balanced", 1.4), ("best", 1.2)):
        settings = ScanSettings(several, TranslationOptions.from_preset(preset))
        sliced = prepare_scan(head, settings).sliced
        assert sliced.pixel_size == pytest.approx(size)
        assert sliced.grid.slice_shape == (round(168 / size), round(168 / size))


def test_a_translation_lies_on_the_scans_grid_whatever_its_pixels(several: Checkpoint, head: Volume) -> None:
    results = [
        translate(head, LMIDiffusion(several, device="cpu"), TranslationOptions(samples=samples, slices=(12, 14)))
        for samples in (1, 2)
    ]
    for result in results:
        assert result.volume.array.shape == head.array.shape
        np.testing.assert_array_equal(result.volume.affine, head.affine)
        inside = result.volume.array[..., 12:14]
        assert np.isfinite(inside).all() and inside.std() > 0.01


def test_the_network_is_told_the_pixels_of_the_slices(several: Checkpoint, head: Volume) -> None:
    """On the same pixels, another size told to the network gives another estimate."""
    translator = LMIDiffusion(several, device="cpu")
    options = TranslationOptions(samples=1)
    sliced = prepare_scan(head, ScanSettings(several, options)).sliced
    fine = sliced.with_pixel_size(1.0)
    assert fine.with_pixel_size(1.0) is fine
    told = translator.sample(fine, [13], number=0, options=options, on_step=lambda: None)
    with torch.no_grad():
        for name, parameter in translator.network.named_parameters():
            if "size_embedding" in name:
                parameter.zero_()
    untold = translator.sample(fine, [13], number=0, options=options, on_step=lambda: None)
    assert told.shape == untold.shape == (1, 1, 168, 168)
    assert (told - untold).abs().max() > 1e-3
