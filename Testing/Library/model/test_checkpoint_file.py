"""Checkpoint files of trained baselines."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode

from LMIDiffusionLib.baselines import cyclegan, regression
from LMIDiffusionLib.baselines.stylegan import inversion
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.interface.checkpoint_header import METADATA_KEY
from LMIDiffusionLib.model.checkpoint import Checkpoint, condition_metadata, load_checkpoint, save_checkpoint
from LMIDiffusionLib.model.checkpoint_file import Provenance, StoredCheckpoint, read_baseline, write_checkpoint
from LMIDiffusionLib.model.conditioning import Condition
from LMIDiffusionLib.model.score_network import NetworkSettings


def build(settings: dict[str, Any]) -> torch.nn.Linear:
    return torch.nn.Linear(settings["inputs"], 2)


@pytest.fixture
def baseline() -> StoredCheckpoint:
    weights = {"weight": torch.arange(6.0).reshape(2, 3) / 7, "bias": torch.tensor([1.0, -1.0])}
    record = Provenance("three scans", "CC0", training_steps=12, training_seconds=3.5)
    return StoredCheckpoint("cyclegan", weights, {"inputs": 3}, "T1w", 2.0, record)


@pytest.fixture
def saved(baseline: StoredCheckpoint, tmp_path: Path) -> Path:
    write_checkpoint(baseline, tmp_path / "baseline.safetensors")
    return tmp_path / "baseline.safetensors"


def refusal(path: Path, kind: str = "cyclegan") -> str:
    with pytest.raises(UserError) as refused:
        read_baseline(path, kind)
    return str(refused.value)


def test_loading_returns_the_saved_checkpoint(baseline: StoredCheckpoint, saved: Path) -> None:
    loaded = read_baseline(saved, "cyclegan")
    assert dataclasses.replace(loaded, weights={}) == dataclasses.replace(baseline, weights={})
    network = loaded.network(build)
    assert torch.equal(network.weight, baseline.weights["weight"]) and torch.equal(
        network.bias, baseline.weights["bias"]
    )
    assert not network.training and not network.weight.requires_grad


def test_other_files_are_refused_with_a_reason(saved: Path, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert "checkpoint of cyclegan; give one of stylegan" in refusal(saved, "stylegan")
    assert "There is no file" in refusal(tmp_path / "missing.safetensors")
    ours = tmp_path / "ours.safetensors"
    save_checkpoint(tiny_checkpoint, ours)
    assert "checkpoint of lmidiffusion; give one of cyclegan" in refusal(ours)
    with pytest.raises(UserError, match="checkpoint of cyclegan; give one of lmidiffusion"):
        load_checkpoint(str(saved))
    pickled = tmp_path / "pickle.safetensors"
    pickled.write_bytes(pickle.dumps({"weight": 1}))
    assert "pickle" in refusal(pickled)
    saved.write_bytes(saved.read_bytes()[:-4])
    assert "damaged" in refusal(saved)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format_version": 99, "library_version": "9.9"}, "newer format"),
        ({"intensity_scale": "99th percentile"}, "another intensity scale"),
        ({"kind": 3}, "give one of cyclegan"),
        ({"modality": "../T1w"}, "damaged"),
        ({"training_seconds": "long"}, "damaged"),
        ({"pixel_size": None}, "damaged"),
    ],
)
def test_wrong_metadata_are_refused(
    baseline: StoredCheckpoint, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "changed.safetensors"
    save_file(baseline.weights, path, {METADATA_KEY: json.dumps({**baseline.metadata(), **change})})
    assert reason in refusal(path)


def test_weights_that_do_not_fit_or_are_not_finite_are_refused(baseline: StoredCheckpoint, tmp_path: Path) -> None:
    for settings in ({"inputs": 4}, {}):
        with pytest.raises(UserError, match="damaged"):
            dataclasses.replace(baseline, settings=settings).network(build)
    path = tmp_path / "infinite.safetensors"
    weights = {**baseline.weights, "bias": torch.tensor([1.0, torch.inf])}
    write_checkpoint(dataclasses.replace(baseline, weights=weights), path)
    assert "damaged" in refusal(path)


class Largest(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that takes memory."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.device.type != "meta":
            self.count = max(self.count, result.numel())
        return result


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("cyclegan", {"features": 4, "blocks": 20_000_000}),
        ("cyclegan", {"features": 64, "blocks": 6}),
        ("cyclegan", {"features": True, "blocks": 1}),
        ("stylegan-inversion", {"channels": [6] * 1_000_000, "latent": 8}),
        ("stylegan-inversion", {"channels": [6, 6], "latent": 2000}),
        ("regression", {"network": {"blocks": 20_000_000}}),
        ("regression", {"network": {"channels": [8, 1600]}}),
    ],
)
def test_sizes_that_do_not_fit_the_weights_are_refused_before_memory_is_taken(
    baseline: StoredCheckpoint, kind: str, settings: dict[str, Any]
) -> None:
    if kind == "regression":
        network = {**dataclasses.asdict(NetworkSettings()), **settings["network"]}
        settings = {
            "network": network,
            "noise_level": 0.0,
            "planes": ["axial"],
            "condition": condition_metadata(Condition()),
        }
    make: dict[str, Callable[..., object]] = {
        "cyclegan": cyclegan.CycleGAN,
        "regression": regression.Regression,
        "stylegan-inversion": lambda stored, device: inversion.StyleGANInversion(
            stored, device=device, steps=1, features="intensity"
        ),
    }
    stored = dataclasses.replace(baseline, kind=kind, settings=settings)
    largest = Largest()  # type: ignore[no-untyped-call]
    with largest, pytest.raises(UserError, match=f"{kind} checkpoint is damaged"):
        make[kind](stored, device=torch.device("cpu"))
    assert largest.count < 1000
