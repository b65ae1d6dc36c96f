"""StyleGAN2-ADA from scans to scores: trained, resumed, and inverted through the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from LMIDiffusionLib.benchmark.registry import Setup, find_method
from LMIDiffusionLib.cli import main
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.model.checkpoint_file import read_baseline
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import ScanSettings, translate_scan

_TINY = [
    *("--channels", "6", "6", "6", "--held-out", "1", "--batch-size", "2", "--steps-per-epoch", "9"),
    *("--seed", "3", "--name", "tiny"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, head: Volume) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for number in range(3):
        scan = head.array * (0.8 + 0.2 * number)
        nib.save(nib.Nifti1Image(scan.astype(np.float32), head.affine), folder / f"s{number}_T1w.nii.gz")
        brain = (head.array > 600).astype(np.uint8)
        nib.save(nib.Nifti1Image(brain, head.affine), folder / f"s{number}_mask.nii.gz")
    return folder


def train(data: Path, output: Path, steps: int, *more: str) -> Path:
    with pytest.raises(SystemExit) as ended:
        main(["train-stylegan", str(data), "--output", str(output), "--steps", str(steps), *_TINY, *more])
    assert ended.value.code == 0
    return output / "tiny.safetensors"


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, tmp_path_factory.mktemp("whole"), 18)


def test_a_resumed_training_gives_the_weights_of_an_uninterrupted_one(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    first = load_file(train(data, tmp_path, 9))
    resumed, whole = load_file(train(data, tmp_path, 18, "--resume")), load_file(trained)
    assert resumed.keys() == whole.keys() == first.keys()
    for name, weight in whole.items():
        assert torch.equal(resumed[name], weight), name
    assert any(not torch.equal(first[name], whole[name]) for name in whole)


def test_the_checkpoint_says_what_it_is(trained: Path) -> None:
    baseline = read_baseline(trained, "stylegan-inversion")
    assert baseline.settings == {"channels": [6, 6, 6], "latent": 128}
    assert (baseline.modality, baseline.pixel_size, baseline.provenance.training_steps) == ("T1w", 2.0, 18)
    assert sorted(path.name for path in (trained.parent / "pictures").iterdir()) == [
        f"step-{step:07d}-{number}.png" for step in (9, 18) for number in range(4)
    ]


@pytest.fixture
def setup(tiny_checkpoint: Checkpoint) -> Setup:
    return Setup(tiny_checkpoint, TranslationOptions(), None)


Inverted = Callable[[str], Volume]


@pytest.fixture
def inverted(trained: Path, setup: Setup, head: Volume) -> Inverted:
    def by(name: str) -> Volume:
        method, options = find_method(f"{name}@{trained}", setup).make(torch.device("cpu"))
        return translate_scan(head, method, ScanSettings(setup.checkpoint, options)).volume

    return by


def test_inversions_have_the_sources_grid_and_its_air(inverted: Inverted, head: Volume) -> None:
    result = inverted("stylegan-inversion-3")
    assert result.array.shape == head.array.shape
    np.testing.assert_array_equal(result.affine, head.affine)
    assert result.array.min() >= 0 and result.array.max() <= 1
    inside = head.array[:, :, 10] > 600
    assert result.array[:, :, 10][inside].std() > 0
    assert not result.array[..., 0].any()  # air alone


def test_steps_and_loss_are_those_of_the_name(inverted: Inverted) -> None:
    three, four, sobel = (inverted(f"stylegan-inversion-{each}").array for each in ("3", "4", "sobel-3"))
    assert not np.array_equal(three, four)
    assert not np.array_equal(three, sobel)
    np.testing.assert_array_equal(inverted("stylegan-inversion-3").array, three)


@pytest.mark.parametrize("name", ["stylegan-inversion-0", "stylegan-inversion-fast", "stylegan-inversion-sobel-"])
def test_other_names_are_refused(name: str, trained: Path, setup: Setup) -> None:
    with pytest.raises(UserError, match=r"\[sobel\]\[-STEPS\]"):
        find_method(f"{name}@{trained}", setup)


def test_an_inversion_without_its_weights_is_refused(setup: Setup) -> None:
    with pytest.raises(UserError, match="stylegan-inversion@PATH"):
        find_method("stylegan-inversion", setup)
