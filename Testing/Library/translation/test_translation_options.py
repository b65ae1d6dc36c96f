"""Presets and options of a translation."""

from typing import Any

import numpy as np
import pytest
from translating import run

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.interface.presets import DEFAULT_PRESET, PRESETS, Preset
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.model.samplers import SAMPLERS
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import SegmentationSettings, translate


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_its_sampler_steps_and_samples(name: str) -> None:
    options = TranslationOptions.from_preset(name, seed=3)
    assert Preset(options.sampler, options.solver()[1], options.samples) == PRESETS[name]
    assert options.seed == 3


def test_the_default_options_are_those_of_the_default_preset() -> None:
    options = TranslationOptions()
    assert options.solver() == TranslationOptions.from_preset(DEFAULT_PRESET).solver()
    assert options.samples == PRESETS[DEFAULT_PRESET].samples


def test_options_override_the_preset_and_another_sampler_takes_its_own_steps() -> None:
    assert TranslationOptions.from_preset("best", samples=3, steps=7) == TranslationOptions(steps=7, samples=3)
    other = TranslationOptions.from_preset("best", sampler="euler-maruyama")
    assert other.solver()[1] == SAMPLERS["euler-maruyama"].default_steps
    assert other.samples == PRESETS["best"].samples
    with pytest.raises(UserError, match="no quality ultra"):
        TranslationOptions.from_preset("ultra")


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "heun"},
        {"steps": 0},
        {"steps": -5},
        {"samples": 0},
        {"batch_size": 0},
        {"batch_size": -1},
        {"seed": -1},
        {"guidance": float("nan")},
        {"guidance": float("inf")},
    ],
    ids=str,
)
def test_invalid_options_are_refused_in_one_sentence(options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as refusal:
        TranslationOptions(**options)
    message = str(refusal.value)
    assert message.endswith(".") and "\n" not in message
    assert str(next(iter(options.values()))) in message


@pytest.mark.parametrize("chosen", [(-1, 5), (5, 5), (7, 5), (0, 21), (20, 21), (25, 30)])
def test_a_slice_range_outside_the_volume_is_refused_with_the_valid_range(
    method: LMIDiffusion, head: Volume, chosen: tuple[int, int]
) -> None:
    with pytest.raises(UserError, match="0:20") as refusal:
        run(method, head, slices=chosen)
    assert f"{chosen[0]}:{chosen[1]}" in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_a_preset_is_known_by_its_name_and_a_misspelled_mask_is_refused_at_once(
    head: Volume, tiny_checkpoint: Checkpoint
) -> None:
    named, built = (translate(head, tiny_checkpoint, each) for each in ("fast", TranslationOptions.from_preset("fast")))
    np.testing.assert_array_equal(named.volume.array, built.volume.array)
    with pytest.raises(UserError, match="There is no quality quick"):
        translate(head, tiny_checkpoint, "quick")
    with pytest.raises(UserError, match='fuond does not exist; give the path of a mask, or "found"'):
        SegmentationSettings(mask="fuond")
