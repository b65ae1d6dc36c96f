"""Files that are refused as checkpoints, each in one sentence."""

import dataclasses
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import refusal, save_raw
from safetensors.torch import save_file

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.interface.checkpoint_header import FORMAT_VERSION, read_header
from LMIDiffusionLib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from LMIDiffusionLib.model.score_network import NetworkSettings, ScoreNetwork


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.safetensors"


@pytest.fixture
def saved(tiny_checkpoint: Checkpoint, path: Path) -> Path:
    save_checkpoint(tiny_checkpoint, path)
    return path


# Files that are no checkpoint -----------------------------------------------------------------------------------------


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    refusal(tmp_path / "missing.safetensors")
    refusal(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 100, b"\xff" * 100, b"These are\nmy notes.\n" * 20, struct.pack("<Q", 5) + b"{]}\n."],
    ids=["empty", "zeros", "ones", "text", "broken header"],
)
def test_a_file_of_anything_else_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    refusal(path)


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_checkpoint_is_refused(saved: Path, share: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(share * len(data))])
    refusal(saved)


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


def test_a_truncated_checkpoint_whose_first_byte_is_that_of_a_pickle_is_called_truncated(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes((0x0480).to_bytes(8, "little") + b'{"__metadata__":')
    with pytest.raises(UserError, match="is no LMIDiffusion checkpoint, or truncated"):
        load_checkpoint(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_and_never_executed(tmp_path: Path, path: Path, protocol: int) -> None:
    mark = tmp_path / "executed"
    path.write_bytes(pickle.dumps(Exploit(mark), protocol))
    message = refusal(path)
    assert not mark.exists()
    assert protocol < 2 or "pickle" in message  # the older ones are plain text
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the pickle does no harm, so that this test shows nothing"


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_save_is_refused_and_never_executed(
    tmp_path: Path, path: Path, tiny_checkpoint: Checkpoint, zipped: bool
) -> None:
    mark = tmp_path / "executed"
    content = {"state_dict": tiny_checkpoint.weights, "exploit": Exploit(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "pickle" in refusal(path)
    assert not mark.exists()
    torch.load(path.rename(tmp_path / "checkpoint.pt"), weights_only=False)
    assert mark.exists(), "the pickle does no harm, so that this test shows nothing"


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_a_safetensors_file_of_another_program_is_refused(path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.zeros(3)}, path, metadata)
    assert "another program" in refusal(path)


# Metadata and weights that do not fit ---------------------------------------------------------------------------------


def test_a_newer_format_is_refused_with_the_advice_to_update(tiny_checkpoint: Checkpoint, path: Path) -> None:
    metadata = {**tiny_checkpoint.metadata(), "format_version": FORMAT_VERSION + 1, "library_version": "9.9"}
    save_raw(path, tiny_checkpoint.weights, metadata)
    message = refusal(path)
    assert "update" in message and "9.9" in message


def test_a_newer_format_that_lacks_what_this_one_has_is_still_called_newer(path: Path) -> None:
    save_raw(path, {}, {"format_version": FORMAT_VERSION + 1, "library_version": "9.9"})
    assert "update" in refusal(path)


def test_tissues_of_the_first_format_are_read_as_fluid_gray_and_white_from_dark_to_bright(
    tiny_checkpoint: Checkpoint, path: Path
) -> None:
    first = {**tiny_checkpoint.metadata(), "format_version": 1}
    save_raw(path, tiny_checkpoint.weights, {**first, "tissue_centers": [0.1, 0.4, 0.7]})
    assert load_checkpoint(str(path)).tissue_centers == {"CSF": 0.1, "gray matter": 0.4, "white matter": 0.7}
    assert read_header(path).knows_tissues
    save_raw(path, tiny_checkpoint.weights, {**first, "tissue_centers": None})
    assert load_checkpoint(str(path)).tissue_centers is None
    for centers in ([], [0.1, 0.2], [0.3, 0.2, 0.1], [0, 1, "x"], [0, 1, float("inf")], {"CSF": 0.1}):
        save_raw(path, tiny_checkpoint.weights, {**first, "tissue_centers": centers})
        refusal(path)


def test_a_number_of_classes_is_one_of_the_checkpoints(tiny_checkpoint: Checkpoint) -> None:
    assert len(tiny_checkpoint.centers(None)) == 5
    assert len(tiny_checkpoint.centers(3)) == 3
    with pytest.raises(UserError, match="knows no 4 clusters; choose 3 or 5"):
        tiny_checkpoint.centers(4)


def test_another_intensity_scale_is_refused(tiny_checkpoint: Checkpoint, path: Path) -> None:
    save_raw(path, tiny_checkpoint.weights, {**tiny_checkpoint.metadata(), "intensity_scale": "percentile"})
    assert "percentile" in refusal(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"text"', "{}", "\x00", "[1, 2"])
def test_broken_metadata_are_refused(tiny_checkpoint: Checkpoint, path: Path, text: str) -> None:
    save_raw(path, tiny_checkpoint.weights, text)
    refusal(path)


KEYS = [
    *("format_version", "library_version", "modality", "pixel_size", "intensity_scale", "network", "condition", "sde"),
    *("class_centers", "tissue_centers", "training_data", "training_steps", "license"),
]


def test_the_keys_under_test_are_all_there_are(tiny_checkpoint: Checkpoint) -> None:
    assert set(tiny_checkpoint.metadata()) == {*KEYS, "kind", "planes", "training_seconds", "recipe"}


def test_a_checkpoint_may_tell_its_planes_or_is_of_axial_slices(tiny_checkpoint: Checkpoint, path: Path) -> None:
    planes = ("axial", "sagittal")
    save_checkpoint(dataclasses.replace(tiny_checkpoint, planes=planes), path)
    assert load_checkpoint(str(path)).planes == planes
    older = {name: value for name, value in tiny_checkpoint.metadata().items() if name != "planes"}
    save_raw(path, tiny_checkpoint.weights, json.dumps(older))
    assert load_checkpoint(str(path)).planes == ("axial",)


@pytest.mark.parametrize("planes", [[], ["coronal"], ["axial", "axial"], ["axial", "oblique"], "axial", 3, None])
def test_planes_that_are_none_are_refused(tiny_checkpoint: Checkpoint, path: Path, planes: Any) -> None:
    save_raw(path, tiny_checkpoint.weights, json.dumps({**tiny_checkpoint.metadata(), "planes": planes}))
    refusal(path)


def test_a_checkpoint_of_several_pixel_sizes_tells_the_finest_and_older_files_have_one_size(
    tiny_checkpoint: Checkpoint, path: Path
) -> None:
    settings = dataclasses.replace(tiny_checkpoint.network, finest_pixel_size=1.5)
    several = dataclasses.replace(tiny_checkpoint, network=settings, weights=ScoreNetwork(settings).state_dict())
    save_checkpoint(several, path)
    assert load_checkpoint(str(path)).network == settings
    older = tiny_checkpoint.metadata()
    del older["network"]["finest_pixel_size"]
    save_raw(path, tiny_checkpoint.weights, older)
    assert load_checkpoint(str(path)).network == tiny_checkpoint.network


@pytest.mark.parametrize("finest", [0, -1.0, 1e9, "1", True, [1.0]])
def test_a_finest_pixel_size_that_makes_no_sense_is_refused(
    tiny_checkpoint: Checkpoint, path: Path, finest: Any
) -> None:
    weights = ScoreNetwork(dataclasses.replace(tiny_checkpoint.network, finest_pixel_size=1.0)).state_dict()
    metadata = tiny_checkpoint.metadata()
    metadata["network"]["finest_pixel_size"] = finest
    save_raw(path, weights, metadata)
    refusal(path)


def test_a_checkpoint_may_tell_how_long_its_training_took_or_not(tiny_checkpoint: Checkpoint, path: Path) -> None:
    provenance = dataclasses.replace(tiny_checkpoint.provenance, training_seconds=12.5)
    save_checkpoint(dataclasses.replace(tiny_checkpoint, provenance=provenance), path)
    assert load_checkpoint(str(path)).provenance == provenance
    older = tiny_checkpoint.metadata()
    del older["training_seconds"], older["recipe"]
    save_raw(path, tiny_checkpoint.weights, older)
    assert load_checkpoint(str(path)).provenance.training_seconds is None


@pytest.mark.parametrize("key", KEYS)
def test_metadata_without_a_key_are_refused(tiny_checkpoint: Checkpoint, path: Path, key: str) -> None:
    metadata = tiny_checkpoint.metadata()
    del metadata[key]
    save_raw(path, tiny_checkpoint.weights, metadata)
    refusal(path)


WRONG: dict[tuple[str, ...], list[Any]] = {
    ("format_version",): [None, "1", [], 0, -1],
    ("pixel_size",): [None, "2", 0, -2.0, True, [2.0], float("nan"), float("inf"), 1e-9],
    ("modality",): [None, 1, ["T1w"], "", ".", "T1w/../../../escaped", "a\\b", "\x1b[31m", 99 * "T"],
    ("training_steps",): [None, "many", -1, 1.5],
    ("training_seconds",): ["long", -1, True, float("inf"), float("nan")],
    ("network",): [None, [], {}, "unet"],
    ("network", "channels"): [None, [], 8, ["8", "16"], [8, 32], [8, 16, 16]],
    ("network", "blocks"): [None, "1", 2, 0, 20_000_000],
    ("network", "sigma_data"): [None, "0.25", 0, -0.25, float("nan")],
    ("network", "attention_heads"): [None, 0, -1, 1.5],
    ("network", "layers"): [3],
    ("condition",): [None, [], {}],
    ("condition", "maps"): [None, [], "self", ["self"], ["self", "self"], ["self", "edges"], [1, 2]],
    ("condition", "patch_sizes"): [None, [], 3, ["3"], [3.0], [True], [-3], [4], [3, 5]],
    ("condition", "search_size"): [None, "3", 3.0, 0, 2, 100_001],
    ("condition", "kernel"): [None, {}, {"name": "cosine"}, {"name": "gaussian", "bins": 3}],
    ("condition", "kernel", "bandwidth"): [None, "wide", 0, -1, float("nan")],
    ("sde",): [None, [], {"sigma": 3}],
    ("sde", "sigma_max"): [None, "50", 0.001, float("inf"), float("nan")],
    ("class_centers",): [None, {}, [0.1, 0.5], {"three": [0.1, 0.2, 0.3]}],
    ("class_centers", "3"): [None, "x", 0.5, [], [0.1, 0.2], [0.3, 0.2, 0.1], [0.1, None, 0.3], [0, 1, float("nan")]],
    ("tissue_centers",): ["x", 0.5, [], {}, [0.1, 0.2, 0.3], {"CSF": 0.1, "gray matter": 0.2}],
    ("tissue_centers", "CSF"): [None, "x", [0.1], True, float("nan"), float("inf")],
    ("tissue_centers", "fat"): [0.5],
}


@pytest.mark.parametrize(("keys", "value"), [(keys, value) for keys, values in WRONG.items() for value in values])
def test_metadata_of_the_wrong_kind_are_refused(
    tiny_checkpoint: Checkpoint, path: Path, keys: tuple[str, ...], value: Any
) -> None:
    metadata = json.loads(json.dumps(tiny_checkpoint.metadata()))
    part = metadata
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    save_raw(path, tiny_checkpoint.weights, metadata)
    refusal(path)


def test_weights_of_another_shape_are_refused(tiny_checkpoint: Checkpoint, path: Path) -> None:
    name = "unet.first.weight"
    weights = {**tiny_checkpoint.weights, name: tiny_checkpoint.weights[name].flatten()}
    save_raw(path, weights, tiny_checkpoint.metadata())
    refusal(path)


def test_missing_and_additional_weights_are_refused(tiny_checkpoint: Checkpoint, path: Path) -> None:
    weights = dict(tiny_checkpoint.weights)
    weights.pop("unet.first.bias")
    save_raw(path, weights, tiny_checkpoint.metadata())
    refusal(path)
    save_raw(path, {**tiny_checkpoint.weights, "unet.surplus": torch.zeros(3)}, tiny_checkpoint.metadata())
    refusal(path)


def test_weights_of_another_network_are_refused(tiny_checkpoint: Checkpoint, path: Path) -> None:
    other = dataclasses.replace(tiny_checkpoint, network=NetworkSettings(channels=(8, 24), attention_heads=2))
    save_raw(path, tiny_checkpoint.weights, other.metadata())
    refusal(path)
