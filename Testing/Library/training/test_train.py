import dataclasses
import hashlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from running import run_here
from safetensors.torch import load_file

from LMIDiffusionLib.cli import main
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from LMIDiffusionLib.model.conditioning import Condition
from LMIDiffusionLib.model.score_network import ScoreNetwork
from LMIDiffusionLib.training.augmentation.random_streams import SliceDraws
from LMIDiffusionLib.training.n4 import correct_bias_field
from LMIDiffusionLib.training.options import ModelOptions
from LMIDiffusionLib.training.train import network_shape, train
from LMIDiffusionLib.training.warm_start import start_from, start_of

_TRAIN = [sys.executable, "-m", "LMIDiffusionLib", "train"]
_TINY = [
    *("--brain-suffix", "brain", "--channels", "8", "16", "--held-out", "1", "--batch-size", "2"),
    *("--steps", "12", "--steps-per-epoch", "3", "--seed", "3", "--devices", "1", "--pixel-size", "4"),
    *("--no-correct-bias", "--blocks", "1", "--maps", "self", "cross"),
]


def _head(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    axes = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    texture = np.random.default_rng(seed).normal(0, 0.02, shape)
    return np.where(radius < 1, np.where(radius < 0.7, 0.8, 0.4) + texture, 0) * 1000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    for number in range(3):
        head = _head((36, 44, 20), number)
        nib.save(nib.Nifti1Image(head.astype(np.int16), affine), folder / f"s{number}_T1w.nii.gz")
        nib.save(nib.Nifti1Image((head > 600).astype(np.uint8), affine), folder / f"s{number}_brain.nii.gz")
    return folder


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _train(data: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run_here("train", data, "--output", output, *_TINY, *more)


def _train_alone(data: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own, which may start others, be stopped, or print by itself."""
    command = [*_TRAIN, str(data), "--output", str(output), *_TINY, *more]
    return subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)


def test_a_training_killed_and_resumed_gives_the_weights_of_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    whole = _train_alone(data, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    command = [*_TRAIN, str(data), "--output", str(tmp_path / "killed"), *_TINY]
    process = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state, exported = (tmp_path / "killed" / name for name in ("last.ckpt", "checkpoint.safetensors"))
    while process.poll() is None and not state.exists():
        time.sleep(0.005)
    assert process.poll() is None, "the training ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not exported.exists()
    resumed = _train_alone(data, tmp_path / "killed", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    expected, found = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "killed"))
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.equal(expected[name], found[name]), name
    checkpoint = load_checkpoint(str(tmp_path / "killed" / "checkpoint.safetensors"))
    assert checkpoint.provenance.training_steps == 12
    assert sorted(checkpoint.class_centers) == [3, 5]
    assert checkpoint.tissue_centers is not None
    assert len(list((tmp_path / "whole" / "pictures").glob("step-0000012-*.png"))) == 4
    before = (tmp_path / "killed" / "checkpoint.safetensors").read_bytes()
    other = _train(data, tmp_path / "killed", "--learning-rate", "0.1", "--contrast", "plain", "--resume")
    assert other.returncode == 2 and "began with other contrast, learning rate;" in other.stderr
    assert (tmp_path / "killed" / "checkpoint.safetensors").read_bytes() == before
    assert list((tmp_path / "whole" / "tensorboard").glob("events*"))


# TensorFlow, where it is installed beside TensorBoard, logs before anyone can tell it not to.
_TENSORFLOW = re.compile(r"absl::InitializeLog|\.cc:\d+\]")


def test_two_processes_train_the_model_of_one(data: Path, tmp_path: Path) -> None:
    more = ["--precision", "32", "--steps", "6"]
    one = _train_alone(data, tmp_path / "one", *more, "--batch-size", "4")
    two = _train_alone(data, tmp_path / "two", *more, "--batch-size", "2", "--devices", "2")
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    remarks = [line for each in (one, two) for line in each.stderr.splitlines() if not _TENSORFLOW.search(line)]
    assert not remarks, "others' remarks reach the user"
    assert not re.search("GPU|TPU|Tip|Warning", one.stdout + two.stdout)
    expected, found = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two"))
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=1e-4)


def test_training_in_bfloat16_and_in_float32_agree_after_50_steps(
    data: Path, tmp_path: Path, tiny_checkpoint: Checkpoint
) -> None:
    start = tmp_path / "start.safetensors"
    save_checkpoint(tiny_checkpoint, start)
    networks = []
    for precision in ("32", "bf16-mixed"):
        longer = ["--steps", "50", "--steps-per-epoch", "50", "--start-from", str(start), "--precision", precision]
        ended = _train(data, tmp_path / precision, *longer)
        assert ended.returncode == 0, ended.stderr
        networks.append(load_checkpoint(str(tmp_path / precision / "checkpoint.safetensors")).score_network())
    noisy, maps = torch.rand(8, 3, 32, 40, generator=torch.Generator().manual_seed(0)).split([1, 2], 1)
    sigma = torch.logspace(-1, 1, 8)
    first, (full, half) = tiny_checkpoint.score_network()(noisy, maps, sigma), (n(noisy, maps, sigma) for n in networks)
    assert (half - full).norm() < 0.1 * (full - first).norm()


def test_a_training_starts_from_the_weights_of_a_checkpoint(
    data: Path, tmp_path: Path, tiny_checkpoint: Checkpoint
) -> None:
    start = tmp_path / "start.safetensors"
    save_checkpoint(tiny_checkpoint, start)
    barely = ["--steps", "1", "--learning-rate", "1e-9", "--start-from", str(start), "--maps", "self", "cross", "sobel"]
    ended = _train(data, tmp_path / "out", *barely)
    assert ended.returncode == 0, ended.stderr
    expected, found = (load_file(path) for path in (start, tmp_path / "out" / "checkpoint.safetensors"))
    for name in expected.keys() - {"unet.first.weight"}:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-3)
    assert load_checkpoint(str(tmp_path / "out" / "checkpoint.safetensors")).condition.maps == (
        "self",
        "cross",
        "sobel",
    )


def test_a_training_of_several_planes_says_so_in_its_checkpoint(data: Path, tmp_path: Path) -> None:
    ended = _train(data, tmp_path, "--planes", "axial", "coronal", "sagittal", "--contrast", "anatomical")
    assert ended.returncode == 0, ended.stderr
    assert load_checkpoint(str(tmp_path / "checkpoint.safetensors")).planes == ("axial", "coronal", "sagittal")


@pytest.mark.parametrize("planes", [["coronal"], ["axial", "axial"]])
def test_planes_without_the_axial_one_and_repeated_ones_are_refused(
    data: Path, tmp_path: Path, planes: list[str]
) -> None:
    ended = _train(data, tmp_path / "out", "--planes", *planes)
    assert ended.returncode == 2
    assert "axial first" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_maps_that_cannot_be_made_are_refused(data: Path, tmp_path: Path) -> None:
    ended = _train(data, tmp_path / "out", "--maps", "self", "edges")
    assert ended.returncode == 2
    assert "edges" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_line_and_scripts_have_the_same_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    called: dict[str, object] = {}
    monkeypatch.setattr("LMIDiffusionLib.training.train.train", lambda *paths, **options: called.update(options))
    with pytest.raises(SystemExit):
        main(["train", "scans", "--output", "run"])
    expected = inspect.signature(train).parameters
    assert called == {name: expected[name].default for name in ("reading", "model", "fit", "resume", "pairs")}


class TestStartFrom:
    def test_maps_in_common_keep_their_effect_and_new_ones_have_none(self, tiny_checkpoint: Checkpoint) -> None:
        condition = Condition(maps=("self", "intensity", "cross"))
        network = ScoreNetwork(dataclasses.replace(tiny_checkpoint.network, condition_channels=3)).eval()
        start_from(network, ("noisy", *condition.channels), tiny_checkpoint)
        noisy, own, cross, new = torch.rand(4, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        sigma = torch.tensor([0.3, 2.0])
        expected = tiny_checkpoint.score_network()(noisy, torch.cat([own, cross], 1), sigma)
        torch.testing.assert_close(network(noisy, torch.cat([own, new, cross], 1), sigma), expected)

    def test_a_warm_start_keeps_the_size_embedding_and_a_new_one_has_no_effect_yet(
        self, tiny_checkpoint: Checkpoint
    ) -> None:
        settings = dataclasses.replace(tiny_checkpoint.network, finest_pixel_size=1.0)
        noisy, maps = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).split([1, 2], 1)
        sigma, inputs = torch.tensor([0.3, 2.0]), ("noisy", *tiny_checkpoint.condition.channels)
        new = ScoreNetwork(settings).eval()
        start_from(new, inputs, tiny_checkpoint)
        torch.testing.assert_close(new(noisy, maps, sigma, 1.0), tiny_checkpoint.score_network()(noisy, maps, sigma))
        with torch.no_grad():
            for name, parameter in new.named_parameters():
                if "size_embedding" in name:
                    parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
        told = dataclasses.replace(tiny_checkpoint, network=settings, weights=new.state_dict())
        again = ScoreNetwork(settings).eval()
        start_from(again, inputs, told)
        torch.testing.assert_close(again(noisy, maps, sigma, 1.0), told.score_network()(noisy, maps, sigma, 1.0))
        assert not torch.equal(again(noisy, maps, sigma, 1.0), again(noisy, maps, sigma, 2.0))

    @pytest.mark.parametrize("blocks", [2, 3])
    def test_more_blocks_a_level_have_no_effect_yet_but_will_learn(
        self, tiny_checkpoint: Checkpoint, blocks: int
    ) -> None:
        network = ScoreNetwork(dataclasses.replace(tiny_checkpoint.network, blocks=blocks))
        start_from(network, ("noisy", *tiny_checkpoint.condition.channels), tiny_checkpoint)
        noisy, maps = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).split([1, 2], 1)
        sigma = torch.tensor([0.3, 2.0])
        result = network(noisy, maps, sigma)
        torch.testing.assert_close(result, tiny_checkpoint.score_network()(noisy, maps, sigma))
        result.square().sum().backward()
        last_of_blocks = [p for name, p in network.named_parameters() if name.endswith("after.1.weight")]
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in last_of_blocks)

    @pytest.mark.parametrize(
        ("channels", "blocks", "message"), [((8, 24), 1, r"\(8, 16\)"), ((8, 16), 0, r"1 block\(s\)")]
    )
    def test_a_network_of_another_size_or_of_fewer_blocks_is_refused(
        self, tiny_checkpoint: Checkpoint, tmp_path: Path, channels: tuple[int, ...], blocks: int, message: str
    ) -> None:
        save_checkpoint(tiny_checkpoint, tmp_path / "tiny.safetensors")
        model = ModelOptions(start_from=str(tmp_path / "tiny.safetensors"), channels=channels, blocks=blocks)
        with pytest.raises(UserError, match=message):
            start_of(model)

    def test_the_network_keeps_the_shape_and_the_deviation_of_its_start(self, tiny_checkpoint: Checkpoint) -> None:
        origin = dataclasses.replace(tiny_checkpoint.network, sigma_data=0.31, attention_heads=2)
        start = dataclasses.replace(tiny_checkpoint, network=origin)
        shape = network_shape(ModelOptions(channels=(8, 16), blocks=3), Condition(), start)
        assert shape == dataclasses.replace(origin, blocks=3, condition_channels=2)

    def test_a_start_that_cannot_be_used_is_found_before_anything_is_read(self, data: Path, tmp_path: Path) -> None:
        ended = _train(data, tmp_path / "out", "--start-from", str(tmp_path / "none.safetensors"))
        assert ended.returncode == 2
        assert "none.safetensors" in ended.stderr
        assert not (tmp_path / "out").exists()


def test_a_second_training_in_the_same_folder_and_resuming_nothing_are_refused(data: Path, tmp_path: Path) -> None:
    nothing = _train(data, tmp_path / "new", "--resume")
    assert nothing.returncode == 2
    assert "nothing to resume" in nothing.stderr
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "last.ckpt").touch()
    used = _train(data, tmp_path / "used")
    assert used.returncode == 2
    assert "holds a training already" in used.stderr


def test_an_interrupted_training_exits_with_130(data: Path, tmp_path: Path) -> None:
    command = [*_TRAIN, str(data), "--output", str(tmp_path / "out"), *_TINY, "--steps", "100000"]
    process = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None and not (tmp_path / "out" / "last.ckpt").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()


def test_ranks_share_the_draws_of_one_process() -> None:
    def draw(count: int, **ranks: int) -> list[torch.Tensor]:
        draws, slices = SliceDraws(torch.Generator().manual_seed(0), **ranks), torch.zeros(count, 1)
        return [draws.uniform(slices, 1, 1, 1), draws.normal(slices, 1, 3, 2), draws.normal(slices)]

    whole, shares = draw(6), [draw(3, rank=rank, ranks=2) for rank in (0, 1)]
    for expected, even, odd in zip(whole, *shares, strict=True):
        assert torch.equal(torch.stack([even, odd], 1).flatten(0, 1), expected)


def test_bias_correction_flattens_a_shaded_head() -> None:
    head = _head((48, 56, 40), 0).astype(np.float32)
    shading = np.linspace(0.7, 1.3, 48, dtype=np.float32)[:, None, None]
    inside = head > 600

    def variation(volume: np.ndarray) -> float:
        return float(volume[inside].std() / volume[inside].mean())

    corrected = correct_bias_field(head * shading)
    assert variation(corrected) < 0.5 * variation(head * shading)


@pytest.fixture(scope="module")
def label_maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head of 2 mm: scalp, skull, fluid, cortex, white matter, ventricles from the outside in."""
    folder = tmp_path_factory.mktemp("labels")
    axes = np.meshgrid(*(np.linspace(-1.2, 1.2, count) for count in (72, 88, 80)), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    labels = np.zeros(radius.shape, np.int16)
    for reach, label in ((1.0, 511), (0.92, 515), (0.85, 24), (0.8, 3), (0.6, 2), (0.2, 4)):
        labels[radius < reach] = label
    nib.save(nib.Nifti1Image(labels, np.diag([2.0, 2.0, 2.0, 1.0])), folder / "head.nii.gz")
    return folder


def test_a_training_of_several_sizes_with_label_maps_is_scored_on_pairs_that_it_never_sees(
    data: Path, label_maps: Path, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"source,target\n{data / 's0_T1w.nii.gz'},{data / 's1_T1w.nii.gz'}\n")
    more = ["--finest-pixel-size", "2", "--label-maps", str(label_maps), "--pairs", str(pairs)]
    ended = _train(data, tmp_path / "out", *more)
    assert ended.returncode == 0, ended.stderr
    checkpoint = load_checkpoint(str(tmp_path / "out" / "checkpoint.safetensors"))
    assert (checkpoint.network.finest_pixel_size, checkpoint.pixel_size) == (2.0, 4.0)
    recipe = checkpoint.provenance.recipe
    assert recipe is not None and recipe["options"]["seed"] == 3 and recipe["options"]["pixel_size"] == 4
    digest = hashlib.sha256((data / "s1_T1w.nii.gz").read_bytes()).hexdigest()[:16]
    assert recipe["files"]["s1_T1w.nii.gz"] == digest
    assert set(recipe["files"]) == {path.name for folder in (data, label_maps) for path in folder.iterdir()}
    assert recipe["held_out"] == ["s2"]
    assert str(label_maps) not in json.dumps(recipe)
    rows = (tmp_path / "out" / "scores.csv").read_text().splitlines()
    assert rows[0] == "step,pair,pixel_size,psnr,ssim"
    assert [row.split(",")[:3] for row in rows[1:]] == [["12", "s0_T1w.nii.gz", "4.0"]]
    without = _train(data, tmp_path / "without", *more[:-2])
    assert without.returncode == 0, without.stderr
    scored, plain = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("out", "without"))
    assert all(torch.equal(scored[name], plain[name]) for name in plain)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--finest-pixel-size", "5"], "at most as large"),
        (["--label-maps", "nowhere"], "nowhere does not exist"),
        (["--pairs", "nowhere.csv"], "nowhere.csv does not exist"),
        (["--label-maps", ".", "--modality", "T2w"], "T1w alone"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_anything_is_written(
    data: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    ended = _train(data, tmp_path / "out", *more)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert not (tmp_path / "out").exists()
