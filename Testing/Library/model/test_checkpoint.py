"""Properties of checkpoint files."""

import dataclasses
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import refusal, save_raw
from safetensors.torch import load_file, save_file
from torch import Tensor

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.interface.checkpoint_header import FORMAT_VERSION, METADATA_KEY, CheckpointHeader, read_header
from LMIDiffusionLib.interface.resources import bundled_checkpoints
from LMIDiffusionLib.lmi import GaussianKernel, HistogramKernel
from LMIDiffusionLib.model import checkpoint_file
from LMIDiffusionLib.model.checkpoint import Checkpoint, Provenance, load_checkpoint, save_checkpoint
from LMIDiffusionLib.model.conditioning import Condition
from LMIDiffusionLib.model.score_network import ScoreNetwork
from LMIDiffusionLib.model.sde import VarianceExplodingSDE

BUNDLED = sorted(bundled_checkpoints())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.safetensors"


@pytest.fixture
def saved(tiny_checkpoint: Checkpoint, path: Path) -> Path:
    save_checkpoint(tiny_checkpoint, path)
    return path


# Round trip -----------------------------------------------------------------------------------------------------------


def test_saving_what_was_loaded_changes_no_weight(tiny_checkpoint: Checkpoint, saved: Path) -> None:
    loaded = load_checkpoint(str(saved)).weights
    assert loaded.keys() == tiny_checkpoint.weights.keys()
    for name, weight in tiny_checkpoint.weights.items():
        assert torch.equal(loaded[name].float(), weight), name


@pytest.mark.parametrize("version", [1, 2])
def test_weights_of_16_bits_of_the_older_formats_are_read_as_they_are(
    tiny_checkpoint: Checkpoint, path: Path, version: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(weight.shape, generator=generator).half() for name, weight in tiny_checkpoint.weights.items()
    }
    tissues = {"tissue_centers": None if version == 1 else tiny_checkpoint.tissue_centers}
    save_raw(path, weights, {**tiny_checkpoint.metadata(), "format_version": version, **tissues})
    loaded = load_checkpoint(str(path)).weights
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weight) for name, weight in weights.items())


def with_condition(checkpoint: Checkpoint, condition: Condition) -> Checkpoint:
    """The checkpoint with another condition, and a network that takes its maps."""
    settings = dataclasses.replace(checkpoint.network, condition_channels=len(condition.channels))
    weights = ScoreNetwork(settings).state_dict()
    return dataclasses.replace(checkpoint, condition=condition, network=settings, weights=weights)


CONDITIONS = pytest.mark.parametrize(
    "condition",
    [
        Condition(),
        Condition(patch_sizes=(5,), search_size=1, kernel=GaussianKernel(bandwidth=0.123)),
        Condition(maps=("self", "intensity"), patch_sizes=(3, 5), search_size=5, kernel=HistogramKernel(bins=11)),
    ],
    ids=["default", "gaussian", "histogram of two sizes"],
)


@CONDITIONS
@pytest.mark.parametrize(
    "tissue_centers",
    [None, {"CSF": 0.9, "gray matter": 0.1234567890123, "white matter": 0.4}],
    ids=["no tissues", "tissues"],
)
def test_round_trip_keeps_all_metadata(
    tiny_checkpoint: Checkpoint, path: Path, condition: Condition, tissue_centers: dict[str, float] | None
) -> None:
    original = dataclasses.replace(
        with_condition(tiny_checkpoint, condition),
        tissue_centers=tissue_centers,
        sde=VarianceExplodingSDE(0.0123, 34.5),
        modality="T2w ü",
        pixel_size=1.7,
        class_centers={2: np.array([0.1, 1 / 3]), 5: np.linspace(0.1, 0.9, 5)},
        provenance=Provenance('"quoted", 2 lines\nlong', "CC BY-SA 3.0", 1234, "0.0.9"),
    )
    save_checkpoint(original, path)
    loaded = load_checkpoint(str(path))
    for field in dataclasses.fields(Checkpoint):
        if field.name not in ("weights", "class_centers"):
            assert getattr(loaded, field.name) == getattr(original, field.name), field.name
    assert loaded.class_centers.keys() == {2, 5}
    for count, centers in original.class_centers.items():
        np.testing.assert_array_equal(loaded.class_centers[count], centers)
    assert loaded.metadata() == original.metadata()


@CONDITIONS
def test_a_loaded_condition_makes_the_same_maps(tiny_checkpoint: Checkpoint, path: Path, condition: Condition) -> None:
    save_checkpoint(with_condition(tiny_checkpoint, condition), path)
    image, other = torch.rand(2, 1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(load_checkpoint(str(path)).condition.all_maps(image, other), condition.all_maps(image, other))


def test_the_loaded_network_estimates_what_the_saved_one_does(tiny_checkpoint: Checkpoint, saved: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = (
        torch.rand(2, 1, 16, 16, generator=generator),
        torch.rand(2, 2, 16, 16, generator=generator),
        torch.ones(2),
    )
    network = load_checkpoint(str(saved)).score_network()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network(*inputs), tiny_checkpoint.score_network()(*inputs), atol=0, rtol=0)


def test_saving_again_replaces_the_file_and_leaves_no_other(tiny_checkpoint: Checkpoint, saved: Path) -> None:
    save_checkpoint(dataclasses.replace(tiny_checkpoint, modality="T2w"), saved)
    assert load_checkpoint(str(saved)).modality == "T2w"
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.skipif(not BUNDLED, reason="no checkpoint is bundled with this checkout")
@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_checkpoint_loads_by_its_name(name: str) -> None:
    checkpoint = load_checkpoint(name)
    assert checkpoint.metadata() == load_checkpoint(str(bundled_checkpoints()[name])).metadata()
    assert checkpoint.score_network().settings == checkpoint.network


# The header -----------------------------------------------------------------------------------------------------------


def test_the_header_tells_what_the_checkpoint_does(tiny_checkpoint: Checkpoint, saved: Path, path: Path) -> None:
    tiny = tiny_checkpoint
    expected = CheckpointHeader("T1w", 2.0, (3, 5), True, tiny.provenance.training_data, tiny.provenance.license)
    assert read_header(saved) == expected
    save_checkpoint(dataclasses.replace(tiny, tissue_centers=None, class_centers={5: tiny.class_centers[5]}), path)
    assert read_header(path) == dataclasses.replace(expected, class_counts=(5,), knows_tissues=False)


def test_the_header_of_a_bad_file_is_refused_in_the_words_of_the_checkpoint(path: Path) -> None:
    for data in (b"", b"\x80\x02}", struct.pack("<Q", 5) + b"{]}\n.", struct.pack("<Q", 2) + b"[]"):
        path.write_bytes(data)
        with pytest.raises(UserError) as refused:
            read_header(path)
        assert str(refused.value) == refusal(path)
    save_raw(path, {}, {"format_version": FORMAT_VERSION, "modality": "T1w"})
    with pytest.raises(UserError, match="damaged"):
        read_header(path)
    save_raw(path, {}, {"format_version": FORMAT_VERSION + 1, "library_version": "9.9"})
    with pytest.raises(UserError, match="update"):
        read_header(path)


@pytest.fixture
def wider_checkpoint(tiny_checkpoint: Checkpoint) -> Checkpoint:
    """One with tensors that are large enough to be stored as integers."""
    settings = dataclasses.replace(tiny_checkpoint.network, channels=(8, 48))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = ScoreNetwork(settings).state_dict()
    return dataclasses.replace(tiny_checkpoint, network=settings, weights=weights)


def test_saving_large_weights_again_changes_none(wider_checkpoint: Checkpoint, path: Path) -> None:
    save_checkpoint(wider_checkpoint, path)
    assert {weight.dtype for weight in load_file(path).values()} == {torch.int8, torch.float16, torch.float32}
    first, content = load_checkpoint(str(path)), path.read_bytes()
    assert first.weights.keys() == wider_checkpoint.weights.keys()
    save_checkpoint(first, path)
    assert path.read_bytes() == content


def test_integers_without_a_scale_for_each_channel_are_refused(wider_checkpoint: Checkpoint, path: Path) -> None:
    save_checkpoint(wider_checkpoint, path)
    stored = load_file(path)
    name = next(name for name in stored if name.endswith(".scale"))
    text = {METADATA_KEY: json.dumps(wider_checkpoint.metadata())}
    for scales in ({}, {name: stored[name][:-1]}, {name: stored[name][0]}, {name: stored[name] / 0}):
        others = {key: tensor for key, tensor in stored.items() if key != name}
        save_file({**others, **scales}, path, text)
        refusal(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(tiny_checkpoint: Checkpoint, path: Path, value: float) -> None:
    weights = {name: weight.clone() for name, weight in tiny_checkpoint.weights.items()}
    weights["unet.first.weight"].view(-1)[7] = value
    save_raw(path, weights, tiny_checkpoint.metadata())
    refusal(path)


# Saving that fails ----------------------------------------------------------------------------------------------------


def test_nothing_is_left_when_the_disk_fills_up_half_way(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(weights: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        save_file(weights, path, metadata)
        path.write_bytes(path.read_bytes()[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_file, "save_file", half)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tiny_checkpoint, tmp_path / "new.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_former_checkpoint_survives_a_save_that_fails(
    tiny_checkpoint: Checkpoint, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr(checkpoint_file, "save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(dataclasses.replace(tiny_checkpoint, modality="T2w"), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_nothing_is_left_where_the_folder_is_a_file(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with pytest.raises(OSError, match="file"):
        save_checkpoint(tiny_checkpoint, tmp_path / "file" / "new.safetensors")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert (tmp_path / "file").read_text() == "content"


def test_saving_leaves_the_checkpoint_in_memory_as_it_was(tiny_checkpoint: Checkpoint, saved: Path) -> None:
    assert all(weight.dtype == torch.float32 for weight in tiny_checkpoint.weights.values())
    assert all(weight.dtype == torch.float16 for weight in load_file(saved).values())
