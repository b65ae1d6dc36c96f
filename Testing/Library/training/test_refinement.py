"""`refine`: what is trained, when it stops, what it writes, and when it writes nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from LMIDiffusionLib.cli import main
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume, write_volume
from LMIDiffusionLib.interface.checkpoint_header import METADATA_KEY
from LMIDiffusionLib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from LMIDiffusionLib.training.augmentation.random_streams import SliceDraws
from LMIDiffusionLib.training.data.pairs import PairBatches, PairFiles, read_pair, read_pair_files
from LMIDiffusionLib.training.options import FitOptions
from LMIDiffusionLib.training.refinement import (
    Refinement,
    RefinementOptions,
    WeightsAtStep,
    _split,
    _train,
    refine,
)


@pytest.fixture
def checkpoint(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def pairs(head: Volume, tmp_path: Path) -> list[PairFiles]:
    """Two people whose source is the negative of the target inside the head."""
    for name, gain in (("anna", 1.0), ("ben", 0.9)):
        target = gain * head.array
        write_volume(tmp_path / f"{name}_T1w.nii", head.with_array(target.astype(np.float32)))
        negative = np.where(head.array > 100, 1500 - 0.5 * target, 0)
        write_volume(tmp_path / f"{name}_FLAIR.nii", head.with_array(negative.astype(np.float32)))
    rows = ["source,target,subject", *(f"{each}_FLAIR.nii,{each}_T1w.nii,{each}" for each in ("anna", "ben"))]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    return read_pair_files(tmp_path / "pairs.csv")


def _options(checkpoint: Path, **changes: Any) -> RefinementOptions:
    return RefinementOptions(str(checkpoint), "FLAIR", **{"steps": 20, "learning_rate": 5e-3, **changes})


def _header(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()[METADATA_KEY])


def test_a_gain_on_the_held_out_person_is_written_with_its_origin(
    pairs: list[PairFiles], checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "my.safetensors"
    result = refine(pairs, output, _options(checkpoint))
    assert result.after > result.before and result.held_out == "the last person"
    refined, start, header = load_checkpoint(output), load_checkpoint(checkpoint), _header(output)
    assert header["training_data"].startswith("no longer zero-shot: refined on FLAIR and T1w of 2 people; before: none")
    assert header["recipe"]["refined"]["files"].keys() == {
        path.name for each in pairs for path in (each.source, each.target)
    }
    assert header["training_steps"] == result.steps == 20
    changed = {name for name, weight in start.weights.items() if not torch.equal(weight, refined.weights[name])}
    assert {name for name, _ in start.score_network().named_parameters()} <= changed


def test_a_worse_checkpoint_is_not_written(pairs: list[PairFiles], checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "my.safetensors"
    with pytest.raises(UserError, match=r"would be no better: .* nothing was written"):
        refine(pairs, output, _options(checkpoint, learning_rate=100.0))
    assert not output.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".safetensors") == ["tiny.safetensors"]


def test_the_command_exits_with_2_and_a_sentence_where_nothing_is_better(
    pairs: list[PairFiles], checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "my.safetensors"
    output.write_text("mine")
    with pytest.raises(SystemExit) as left:
        main(["refine", str(tmp_path / "pairs.csv"), "--source", "FLAIR", "--output", str(output)])
    assert left.value.code == 2
    assert "exists already" in capsys.readouterr().err
    assert output.read_text() == "mine"


def test_one_person_is_held_out_in_another_plane_until_the_number_of_steps_is_known(
    pairs: list[PairFiles], tiny_checkpoint: Checkpoint
) -> None:
    split = _split(pairs[:1], tiny_checkpoint)
    assert [list(each) for each in split.training] == [list(each) for each in split.everything] == [["axial"]]
    assert len(split.held_out) == 1 and split.name in ("sagittal slices", "coronal slices")


def test_of_several_people_the_last_is_held_out_until_the_number_of_steps_is_known(
    pairs: list[PairFiles], tiny_checkpoint: Checkpoint
) -> None:
    split = _split(pairs, tiny_checkpoint)
    first, last = (read_pair(each, tiny_checkpoint, ("axial",))["axial"] for each in pairs)
    assert len(split.training) == 1 and len(split.everything) == 2
    torch.testing.assert_close(split.training[0]["axial"].sources, first.sources)
    torch.testing.assert_close(split.held_out[0].sources, last.sources)
    torch.testing.assert_close(split.everything[1]["axial"].sources, last.sources)


def test_the_written_weights_are_those_of_the_step_that_was_best(
    pairs: list[PairFiles], tiny_checkpoint: Checkpoint
) -> None:
    fit = FitOptions(steps=4, steps_per_epoch=2, devices="1", learning_rate=5e-3, seed=1)
    people = [read_pair(each, tiny_checkpoint, ("axial",)) for each in pairs]
    kept = []
    for step in (2, 2, 4):
        kept.append(WeightsAtStep(step))
        _train(tiny_checkpoint, people, fit, kept[-1])
    name = next(iter(kept[0].weights))
    torch.testing.assert_close(kept[0].weights[name], kept[1].weights[name])
    assert not torch.equal(kept[0].weights[name], kept[2].weights[name])


def test_half_of_a_batch_is_real_pairs_moved_alike_and_half_is_drawn(
    pairs: list[PairFiles], tiny_checkpoint: Checkpoint
) -> None:
    people = [read_pair(each, tiny_checkpoint, ("axial",)) for each in pairs]
    batch = PairBatches(people, batch_size=8, stride=tiny_checkpoint.network.stride, seed=0)[3]
    assert batch.real == 4 and len(batch.sources) == 8
    same = batch._replace(sources=batch.slices.images)
    module = Refinement(tiny_checkpoint, FitOptions())
    slices, copies = module.changed(same, SliceDraws(torch.Generator().manual_seed(0)))
    torch.testing.assert_close(slices[:4], copies[:4])
    assert all((one - two).abs().max() > 0.02 for one, two in zip(slices[4:], copies[4:], strict=True))


def test_batches_depend_on_the_seed_and_their_number_alone(pairs: list[PairFiles], tiny_checkpoint: Checkpoint) -> None:
    people = [read_pair(each, tiny_checkpoint, ("axial", "coronal")) for each in pairs]
    one, two = (PairBatches(people, batch_size=4, stride=4, seed=1) for _ in range(2))
    torch.testing.assert_close(one[5].sources, two[5].sources)
    assert one[5].sources.shape != one[6].sources.shape or not torch.equal(one[5].sources, one[6].sources)


def test_pairs_on_different_grids_are_refused(
    pairs: list[PairFiles], head: Volume, tiny_checkpoint: Checkpoint
) -> None:
    write_volume(pairs[0].source, Volume(head.array, head.affine + np.eye(4)[3] * 5))
    with pytest.raises(UserError, match="lie on different grids"):
        read_pair(pairs[0], tiny_checkpoint, ("axial",))
