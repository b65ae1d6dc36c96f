"""The quality benchmark: its tables and files, resumption, failures, and several processes."""

from __future__ import annotations

import csv
import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from running import run_here

from LMIDiffusionLib.baselines import SDEdit
from LMIDiffusionLib.benchmark import metrics
from LMIDiffusionLib.benchmark.ground_truth import read_ground_truth
from LMIDiffusionLib.benchmark.pairs import read_pairs
from LMIDiffusionLib.benchmark.quality import QualityOptions, run_quality_benchmark
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import read_volume
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.model.checkpoint import Checkpoint, save_checkpoint
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume
from LMIDiffusionLib.translation.translate_volume import translate_about_head

METHODS = ["identity", "histogram-matching", "sdedit-0.2", "lmidiffusion"]
QUICK = TranslationOptions(steps=1, samples=1)
EVERY = 25
PDW, T1W, TISSUE = (sample_scan(f"sri24_{name}") for name in ("PDw", "T1w", "tissue"))


@pytest.fixture
def checkpoint(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(tiny_checkpoint, path)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """The bundled pair both ways round."""
    path = tmp_path / "pairs.csv"
    path.write_text(f"{PDW},{T1W},{TISSUE}\n{T1W},{PDW},{TISSUE}\n")
    return path


def options(pairs: Path, checkpoint: Path, output: Path, **changes: Any) -> QualityOptions:
    chosen: dict[str, Any] = {
        "pairs": read_pairs(pairs).pairs,
        "output": output,
        "methods": METHODS,
        "checkpoint": str(checkpoint),
        "target_scans": T1W.parent,
        "every": EVERY,
        "device": "cpu",
        "devices": "1",
        "translation": QUICK,
        **changes,
    }
    return QualityOptions(**chosen)


def run(options: QualityOptions) -> str:
    """The tables of a benchmark without failures."""
    report = run_quality_benchmark(options)
    assert report is not None
    assert report.failures == []
    return report.tables


def rows(tables: str) -> dict[str, list[str]]:
    """Measures in the first table's rows by method."""
    lines = [line for line in tables.split("Inside the brain")[0].splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {method: values[1:-3] for method, *values in cells}


def test_tables_hold_the_scores_of_each_method_run_alone(
    pairs: Path, checkpoint: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    tables = run(options(pairs, checkpoint, tmp_path / "out"))
    assert tables.startswith("1 person, 2 pairs, ")
    assert list(rows(tables)) == METHODS
    for heading in ("Inside the brain", "true target's own classes", "Mean intensity", "By pair"):
        assert heading in tables
    sdedit = SDEdit(tiny_checkpoint, device=torch.device("cpu"), start=0.2)
    psnr = []
    for pair in read_pairs(pairs).pairs:
        source, target = (
            SlicedVolume.from_volume(read_volume(path), pixel_size=2.0) for path in (pair.source, pair.target)
        )
        truth = read_ground_truth(pair, read_volume(pair.target), target, every=EVERY)
        alone = translate_about_head(source, truth.indices, sdedit, TranslationOptions(steps=25, samples=1))
        images = source.grid.slices(alone.mean)[truth.indices, 0]
        psnr.append(metrics.psnr(images.numpy(), truth.images))
    assert rows(tables)["sdedit-0.2"][0] == f"{np.mean([values.mean() for values in psnr]):.2f} ± 0.00", "one person"
    assert (tmp_path / "out" / "tables.md").read_text(encoding="utf-8") == tables + "\n"
    for name in ("comparison.png", "worst.png", "curve.png"):
        assert np.asarray(Image.open(tmp_path / "out" / name)).std() > 10


def test_the_target_to_itself_does_not_depend_on_the_source(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    """The second pair is the first one reversed, so each target is translated as a source elsewhere."""
    both = tmp_path / "itself.csv"
    both.write_text(f"{T1W},{T1W}\n")
    run(options(both, checkpoint, tmp_path / "itself", methods=["lmidiffusion"]))
    run(options(pairs, checkpoint, tmp_path / "out", methods=["target-to-itself", "lmidiffusion"]))
    with (tmp_path / "itself" / "scans.csv").open() as file:
        (wanted,) = csv.DictReader(file)
    with (tmp_path / "out" / "scans.csv").open() as file:
        found = {(row["pair"], row["method"]): row["psnr"] for row in csv.DictReader(file)}
    assert found["sri24_PDw", "target-to-itself"] == wanted["psnr"] != found["sri24_PDw", "lmidiffusion"]


def test_a_stopped_benchmark_resumes_with_the_missing_jobs(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = run(options(pairs, checkpoint, output))
    kept, *lost = sorted(path for path in output.glob("*.npz") if "truth" not in path.name)
    for path in lost[:3]:
        path.unlink()
    before = kept.stat().st_mtime_ns
    again = run(options(pairs, checkpoint, output))
    assert run(options(pairs, checkpoint, output)) == again, "nothing is missing any more"
    assert kept.stat().st_mtime_ns == before
    assert rows(again) == rows(first)


def test_methods_can_be_added_later(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    run(options(pairs, checkpoint, tmp_path / "out", methods=["identity"]))
    assert "sdedit-0.5" in rows(run(options(pairs, checkpoint, tmp_path / "out", methods=["identity", "sdedit-0.5"])))


def test_a_sampling_after_the_name_replaces_the_preset(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    names = ["lmidiffusion", "lmidiffusion-1x1", "lmidiffusion-fast", "lmidiffusion-3x2", "lmidiffusion-3x2w1.5"]
    plain, same, fast, other, guided = rows(run(options(pairs, checkpoint, tmp_path / "out", methods=names))).values()
    assert plain == same == fast != other != guided


def test_a_method_with_another_checkpoint_bears_its_name(
    pairs: Path, checkpoint: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Also one whose classes lie elsewhere: all methods are sorted into those of the benchmark's checkpoint."""
    steeper = {name: weight * 1.1 for name, weight in tiny_checkpoint.weights.items()}
    other = dataclasses.replace(tiny_checkpoint, weights=steeper)
    moved = {count: centers * 1.2 for count, centers in tiny_checkpoint.class_centers.items()}
    (tmp_path / "elsewhere").mkdir()
    same, changed = tmp_path / "elsewhere" / "same.safetensors", tmp_path / "elsewhere" / "steeper.safetensors"
    save_checkpoint(dataclasses.replace(tiny_checkpoint, class_centers=moved), same)
    save_checkpoint(other, changed)
    methods = ["lmidiffusion", f"lmidiffusion@{same}", f"lmidiffusion-1x1@{changed}"]
    found = rows(run(options(pairs, checkpoint, tmp_path / "out", methods=methods)))
    assert list(found) == ["lmidiffusion", "lmidiffusion@same", "lmidiffusion-1x1@steeper"]
    assert found["lmidiffusion"] == found["lmidiffusion@same"] != found["lmidiffusion-1x1@steeper"]
    before = sorted((tmp_path / "out").glob("*.npz"))
    save_checkpoint(dataclasses.replace(other, weights=tiny_checkpoint.weights), changed)
    again = rows(run(options(pairs, checkpoint, tmp_path / "out", methods=methods)))
    assert again["lmidiffusion-1x1@steeper"] == found["lmidiffusion"], "a checkpoint that has changed is scored anew"
    assert len(sorted((tmp_path / "out").glob("*.npz"))) == len(before) + 2


def test_an_unusable_pair_is_reported_and_the_others_are_scored(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes(PDW.read_bytes()[:5000])
    with pairs.open("a") as file:
        file.write(f"{damaged},{T1W}\n")
    chosen = options(pairs, checkpoint, tmp_path / "out", methods=["identity", "lmidiffusion"])
    report = run_quality_benchmark(chosen)
    assert report is not None
    assert report.tables.startswith("1 person, 2 pairs, ")
    assert len(report.failures) == 2
    assert report.failures[0].startswith("damaged, identity: ")
    assert "damaged or truncated" in report.failures[0]
    shutil.copy(PDW, damaged)
    mended = run(chosen)
    assert mended.startswith("1 person, 3 pairs, "), "what failed is tried again"


def test_a_benchmark_without_a_usable_pair_reports_the_reasons(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(f"{PDW},{tmp_path / 'text.nii'}\n")
    (tmp_path / "text.nii").write_text("no volume")
    with pytest.raises(UserError, match=r"No pair could be scored.*is a text file"):
        run_quality_benchmark(options(tmp_path / "pairs.csv", checkpoint, tmp_path / "out", methods=["identity"]))


def lmidiffusion(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "LMIDiffusionLib", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_two_processes_give_the_tables_of_one(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    tables = []
    for run, processes in ((run_here, "1"), (lmidiffusion, "2")):
        output = tmp_path / processes
        done = run(
            *("benchmark", "quality", pairs, "--output", output, "--methods", "identity", "lmidiffusion"),
            *("--checkpoint", checkpoint, "--every", EVERY, "--quality", "fast"),
            *("--device", "cpu", "--devices", processes),
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", "messages of other libraries reach the user"
        tables.append(rows(done.stdout))
        assert len([path for path in output.glob("*.npz") if "truth" not in path.name]) == 4
    assert list(tables[0]) == ["identity", "lmidiffusion"]
    assert tables[0] == tables[1]


def test_bad_rows_are_reported_after_the_tables_with_exit_status_2(
    pairs: Path, checkpoint: Path, tmp_path: Path
) -> None:
    with pairs.open("a") as file:
        file.write(f"{tmp_path / 'lost.nii'},{T1W}\n")
    done = run_here(
        *("evaluate", pairs, "--output", tmp_path / "out", "--methods", "identity"),
        *("--checkpoint", checkpoint, "--every", EVERY, "--device", "cpu"),
    )
    assert done.returncode == 2
    assert list(rows(done.stdout)) == ["identity"]
    assert "line 3 names" in done.stderr
    assert "Traceback" not in done.stderr


def test_results_survive_an_ascii_terminal_and_a_closed_error_stream(
    pairs: Path, checkpoint: Path, tmp_path: Path
) -> None:
    command = (
        f"'{sys.executable}' -m LMIDiffusionLib evaluate '{pairs}' --output '{tmp_path / 'out'}' --methods identity"
        f" --checkpoint '{checkpoint}' --every {EVERY} --device cpu 2>&-"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, env=environment, timeout=300)
    assert done.returncode == 0
    assert b"identity" in done.stdout
    assert "±" in (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["gan"]}, "There is no method gan"),
        ({"methods": ["identity-2"]}, "There is no method identity-2"),
        ({"methods": ["sdedit-2"]}, "cannot start at 2"),
        ({"methods": ["sdedit"]}, "cannot start at no time"),
        ({"methods": ["lmidiffusion-slow"]}, "no lmidiffusion-slow; SAMPLING is fast"),
        ({"methods": ["lmidiffusion-0x1"]}, "steps cannot be 0"),
        ({"target_scans": None}, "needs --target-scans"),
        ({"device": "cuda:1"}, "give --device cuda and --devices"),
        ({"device": "quantum"}, "There is no device quantum"),
        ({"checkpoint": "/nowhere"}, "There is no checkpoint"),
        ({"methods": ["lmidiffusion@/nowhere"]}, "There is no checkpoint"),
    ],
)
def test_bad_choices_are_refused_before_anything_is_written(
    pairs: Path, checkpoint: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_quality_benchmark(dataclasses.replace(options(pairs, checkpoint, tmp_path / "out"), **changes))
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_with_another_pixel_size_is_refused(
    pairs: Path, checkpoint: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(dataclasses.replace(tiny_checkpoint, pixel_size=3.0), tmp_path / "coarse.safetensors")
    methods = ["lmidiffusion", f"lmidiffusion@{tmp_path / 'coarse.safetensors'}"]
    with pytest.raises(UserError, match="cannot be compared"):
        run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out", methods=methods))


def test_other_settings_on_the_same_folder_are_refused(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    run(options(pairs, checkpoint, tmp_path / "out", methods=["identity"]))
    slower = dataclasses.replace(QUICK, steps=3)
    with pytest.raises(UserError, match="other options"):
        run_quality_benchmark(options(pairs, checkpoint, tmp_path / "out", methods=["identity"], translation=slower))


def test_a_method_that_needs_labels_is_left_out_of_pairs_without_them(checkpoint: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "labels.csv"
    pairs.write_text(f"source,target,mask,subject\n{PDW},{T1W},{TISSUE},with\n{PDW},{T1W},,without\n")
    chosen = options(pairs, checkpoint, tmp_path / "out", methods=["identity", "tone-map", "repainting"])
    tables = run(chosen)
    psnr = {method: float(cells[0].split(" ")[0]) for method, cells in rows(tables).items()}
    assert psnr["identity"] < psnr["tone-map"] < psnr["repainting"]
    table = tables.split("Inside the brain")[0].splitlines()
    people = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in table if "|" in line}
    assert people["repainting"] == "1" and people["tone-map"] == "2"
    before = sorted((tmp_path / "out").iterdir())
    assert run(chosen) == tables
    assert sorted((tmp_path / "out").iterdir()) == before
    with (tmp_path / "out" / "people.csv").open() as file:
        means = {(row["subject"], row["method"]): row["psnr"] for row in csv.DictReader(file)}
    assert means["without", "repainting"] == "" != means["with", "repainting"]


def test_the_expected_error_is_scored_and_drawn_where_it_is_asked_for(checkpoint: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"{PDW},{T1W},{TISSUE}\n")
    plain, asked = (
        options(pairs, checkpoint, tmp_path / name, methods=["identity", "lmidiffusion"], every=40, expected_error=flag)
        for name, flag in (("plain", False), ("asked", True))
    )
    text = run(asked)
    assert "Within 2 expected" in text and "The factor at which 93.5% of errors" in text
    assert (tmp_path / "asked" / "reliability.png").stat().st_size > 5000
    assert "Within 2 expected" not in run(plain)
    assert not (tmp_path / "plain" / "reliability.png").exists()
    assert rows(text)["lmidiffusion"][:8] == rows(run(plain))["lmidiffusion"][:8], "the translation stays the same"
