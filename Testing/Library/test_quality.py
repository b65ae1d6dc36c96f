"""The quality benchmark: what it prints, that it goes on after a stop, and that processes share its jobs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from LMIDiffusionLib.baselines import SDEdit
from LMIDiffusionLib.benchmark.evaluation import Pair, SliceScores, read_pairs, score_pair
from LMIDiffusionLib.benchmark.quality import QualityOptions, format_comparison, run_quality_benchmark
from LMIDiffusionLib.checkpoint import Checkpoint, save_checkpoint
from LMIDiffusionLib.demo import sample_scan
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.options import TranslationOptions

METHODS = ["identity", "histogram-matching", "sdedit-0.2", "lmidiffusion"]
QUICK = TranslationOptions(steps=2, samples=1)
EVERY = 25


@pytest.fixture
def checkpoint(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(tiny_checkpoint, path)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """The bundled pair both ways round."""
    first, second, tissue = (sample_scan(f"sri24_{name}") for name in ("PDw", "T1w", "tissue"))
    path = tmp_path / "pairs.csv"
    path.write_text(f"{first},{second},{tissue}\n{second},{first},{tissue}\n")
    return path


def options(pairs: Path, checkpoint: Path, output: Path, **changes: Any) -> QualityOptions:
    return QualityOptions(
        **{
            "pairs": read_pairs(pairs),
            "output": output,
            "methods": METHODS,
            "checkpoint": str(checkpoint),
            "target_scans": sample_scan("sri24_T1w").parent,
            "every": EVERY,
            "device": "cpu",
            "devices": "1",
            "nodes": 1,
            "translation": QUICK,
            **changes,
        }
    )


def test_the_table_has_a_row_a_method_whose_figures_are_those_of_the_method_alone(
    pairs: Path, checkpoint: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    table = run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out"))
    assert table is not None
    lines = table.splitlines()
    assert lines[0].startswith("2 subjects, 2 pairs, ")
    assert [line.split()[0] for line in lines[2 : 2 + len(METHODS)]] == METHODS
    assert "true target's own classes" in lines[-1]
    sdedit = SDEdit(tiny_checkpoint, device=torch.device("cpu"), start=0.2)
    alone = [
        score_pair(pair, "sdedit", sdedit, QUICK, checkpoint=tiny_checkpoint, every=EVERY) for pair in read_pairs(pairs)
    ]
    psnr = np.concatenate([scores.values["psnr"] for scores in alone])
    assert f"{psnr.mean():.2f} ±{psnr.std():.2f}" in lines[2 + METHODS.index("sdedit-0.2")]
    for name in ("comparison.png", "worst.png", "curve.png"):
        assert np.asarray(Image.open(tmp_path / "out" / name)).std() > 10


def test_a_stopped_benchmark_does_only_what_is_missing(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = run_quality_benchmark(options(pairs, checkpoint, output))
    kept, *lost = sorted(output.glob("*.npz"))
    for path in lost[:3]:
        path.unlink()
    before = kept.stat().st_mtime_ns
    again = run_quality_benchmark(options(pairs, checkpoint, output))
    assert first is not None and again is not None
    assert run_quality_benchmark(options(pairs, checkpoint, output)) == again, "nothing is missing any more"
    assert kept.stat().st_mtime_ns == before
    # All but the seconds, the last column.
    assert [line[: line.rfind(" ")].rstrip() for line in again.splitlines()[2:]] == [
        line[: line.rfind(" ")].rstrip() for line in first.splitlines()[2:]
    ]


def test_more_methods_may_join_later(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out", methods=["identity"]))
    table = run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out", methods=["identity", "sdedit-0.5"]))
    assert table is not None
    assert "sdedit-0.5" in table


def test_a_variant_has_steps_and_samples_of_its_own(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    methods = ["lmidiffusion", "lmidiffusion-2x1", "lmidiffusion-3x2", "lmidiffusion-3x2w1.5"]
    table = run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out", methods=methods))
    assert table is not None
    plain, same, other, guided = (line.split()[1:-1] for line in table.splitlines()[2:6])
    assert plain == same != other != guided


def test_another_checkpoint_joins_under_its_name(
    pairs: Path, checkpoint: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    steeper = {name: weight * 1.1 for name, weight in tiny_checkpoint.weights.items()}
    other = dataclasses.replace(tiny_checkpoint, weights=steeper)
    (tmp_path / "elsewhere").mkdir()
    same, changed = tmp_path / "elsewhere" / "same.safetensors", tmp_path / "elsewhere" / "steeper.safetensors"
    save_checkpoint(tiny_checkpoint, same)
    save_checkpoint(other, changed)
    methods = ["lmidiffusion", f"lmidiffusion@{same}", f"lmidiffusion@{changed}"]
    table = run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out", methods=methods))
    assert table is not None
    rows = [line.split() for line in table.splitlines()[2:5]]
    assert [row[0] for row in rows] == ["lmidiffusion", "lmidiffusion@same", "lmidiffusion@steeper"]
    assert rows[0][1:-1] == rows[1][1:-1] != rows[2][1:-1]
    before = sorted((tmp_path / "out").glob("*.npz"))
    save_checkpoint(dataclasses.replace(other, weights=tiny_checkpoint.weights), changed)
    again = run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out", methods=methods))
    assert again is not None
    assert again.splitlines()[4].split()[1:-1] == rows[0][1:-1], "a checkpoint that has changed is scored anew"
    assert len(sorted((tmp_path / "out").glob("*.npz"))) == len(before) + 2


def test_a_checkpoint_of_other_pixels_cannot_join(
    pairs: Path, checkpoint: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(dataclasses.replace(tiny_checkpoint, pixel_size=3.0), tmp_path / "coarse.safetensors")
    methods = ["lmidiffusion", f"lmidiffusion@{tmp_path / 'coarse.safetensors'}"]
    with pytest.raises(UserError, match="cannot be compared"):
        run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out", methods=methods))


def test_two_processes_share_the_jobs_and_give_the_table_of_one(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    tables = []
    for processes in ("1", "2"):
        output = tmp_path / processes
        command = [
            *(sys.executable, "-m", "LMIDiffusionLib", "benchmark", "quality", pairs, "--output", output),
            *("--methods", "identity", "lmidiffusion", "--checkpoint", checkpoint, "--every", str(EVERY)),
            *("--steps", "2", "--device", "cpu", "--devices", processes),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        tables.append([line.rsplit(" ", 1)[0].rstrip() for line in done.stdout.splitlines()])
        assert len(list(output.glob("*.npz"))) == 4
    rows = [line for line in tables[0] if line.startswith(("identity", "lmidiffusion"))]
    assert len(rows) == 2
    assert [line for line in tables[1] if line.startswith(("identity", "lmidiffusion"))] == rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["gan"]}, "There is no method gan"),
        ({"methods": ["sdedit-2"]}, "There is no method sdedit-2"),
        ({"target_scans": None}, "needs --target-scans"),
        ({"device": "cuda:1"}, "give --device cuda and --devices"),
        ({"checkpoint": "/nowhere"}, "There is no checkpoint"),
    ],
)
def test_bad_choices_are_told_before_anything_is_written(
    pairs: Path, checkpoint: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_quality_benchmark(dataclasses.replace(options(pairs, checkpoint, tmp_path / "out"), **changes))
    assert not (tmp_path / "out").exists()


def test_other_settings_on_the_same_folder_are_refused(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out", methods=["identity"]))
    with pytest.raises(UserError, match="other options"):
        run_quality_benchmark(
            options(
                pairs,
                checkpoint,
                tmp_path / "out",
                methods=["identity"],
                translation=dataclasses.replace(QUICK, steps=3),
            )
        )


def scores(pair: str, method: str, psnr: list[float]) -> SliceScores:
    images = np.zeros((len(psnr), 4, 4), np.float32)
    others = {name: np.full(len(psnr), 0.5) for name in ("ssim", "mae", "agreement", "macro_dice")}
    return SliceScores(pair, method, {"psnr": np.array(psnr), **others}, 0.1, images, images)


def test_methods_are_compared_over_subjects_not_slices() -> None:
    """Seven subjects whose means differ in one direction give the smallest p of seven pairs, 2 / 2^7."""
    pairs = [Pair(Path(f"s{i}_{kind}.nii"), Path(f"t{i}.nii"), None) for i in range(7) for kind in ("PDw", "T2w")]
    results = [
        scores(pair.name, method, [20.0 + index + shift, 22.0 + index, np.inf])
        for index, pair in enumerate(pairs)
        for method, shift in (("identity", -1 - 0.1 * index), ("lmidiffusion", 0.0))
    ]
    lines = format_comparison(results, pairs).splitlines()
    assert lines[0] == "7 subjects, 14 pairs, 42 slices"
    assert lines[-2].startswith("p of Wilcoxon")
    assert float(lines[-1].split()[1]) == pytest.approx(2 / 2**7, rel=0.05)
    assert lines[-1].split()[2] == "nan", "equal measures have no test"


def test_too_few_subjects_are_not_tested() -> None:
    pairs = [Pair(Path(f"s{i}.nii"), Path(f"t{i}.nii"), None) for i in range(5)]
    results = [scores(p.name, method, [20.0, 21.0]) for p in pairs for method in ("identity", "lmidiffusion")]
    assert "Wilcoxon" not in format_comparison(results, pairs)
