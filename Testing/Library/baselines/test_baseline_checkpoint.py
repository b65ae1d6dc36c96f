"""Checkpoints of trained baselines."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from LMIDiffusionLib.baselines.baseline_checkpoint import (
    HEADER,
    BaselineCheckpoint,
    BaselineTrainingRecord,
    load_baseline,
    save_baseline,
)
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def build(settings: dict[str, Any]) -> torch.nn.Linear:
    return torch.nn.Linear(settings["inputs"], 2)


@pytest.fixture
def baseline() -> BaselineCheckpoint:
    weights = {"weight": torch.arange(6.0).reshape(2, 3) / 7, "bias": torch.tensor([1.0, -1.0])}
    record = BaselineTrainingRecord("three scans", "CC0", training_steps=12, training_seconds=3.5)
    return BaselineCheckpoint("cyclegan", weights, {"inputs": 3}, "T1w", 2.0, record)


@pytest.fixture
def saved(baseline: BaselineCheckpoint, tmp_path: Path) -> Path:
    save_baseline(baseline, tmp_path / "baseline.safetensors")
    return tmp_path / "baseline.safetensors"


def refusal(path: Path, kind: str = "cyclegan") -> str:
    with pytest.raises(UserError) as refused:
        load_baseline(path, kind=kind)
    return str(refused.value)


def test_loading_returns_the_saved_checkpoint(baseline: BaselineCheckpoint, saved: Path) -> None:
    loaded = load_baseline(saved, kind="cyclegan")
    assert dataclasses.replace(loaded, weights={}) == dataclasses.replace(baseline, weights={})
    network = loaded.network(build)
    assert torch.equal(network.weight, baseline.weights["weight"]) and torch.equal(
        network.bias, baseline.weights["bias"]
    )
    assert not network.training and not network.weight.requires_grad
    assert loaded.metadata()["parameters"] == loaded.parameters == 8


def test_other_files_are_refused_with_a_reason(saved: Path, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert "checkpoint of cyclegan; give one of stylegan" in refusal(saved, "stylegan")
    assert "There is no file" in refusal(tmp_path / "missing.safetensors")
    ours = tmp_path / "ours.safetensors"
    save_checkpoint(tiny_checkpoint, ours)
    assert "no checkpoint of a baseline" in refusal(ours)
    with pytest.raises(UserError, match="no LMIDiffusion checkpoint"):
        load_checkpoint(str(saved))
    pickled = tmp_path / "pickle.safetensors"
    pickled.write_bytes(pickle.dumps({"weight": 1}))
    assert "pickle" in refusal(pickled)
    saved.write_bytes(saved.read_bytes()[:-4])
    assert "damaged" in refusal(saved)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format_version": 2, "library_version": "9.9"}, "newer format"),
        ({"intensity_scale": "99th percentile"}, "another intensity scale"),
        ({"settings": [3]}, "damaged"),
        ({"training_seconds": "long"}, "damaged"),
        ({"pixel_size": None}, "damaged"),
    ],
)
def test_wrong_metadata_are_refused(
    baseline: BaselineCheckpoint, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "changed.safetensors"
    save_file(baseline.weights, path, {HEADER.key: json.dumps({**baseline.metadata(), **change})})
    assert reason in refusal(path)


def test_weights_that_do_not_fit_or_are_not_finite_are_refused(baseline: BaselineCheckpoint, tmp_path: Path) -> None:
    for settings in ({"inputs": 4}, {}):
        with pytest.raises(UserError, match="damaged"):
            dataclasses.replace(baseline, settings=settings).network(build)
    path = tmp_path / "infinite.safetensors"
    weights = {**baseline.weights, "bias": torch.tensor([1.0, torch.inf])}
    save_baseline(dataclasses.replace(baseline, weights=weights), path)
    assert "damaged" in refusal(path)
