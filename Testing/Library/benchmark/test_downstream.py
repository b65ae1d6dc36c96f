"""The downstream benchmark, with a small script as the tool: a threshold at the mean of the image."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LMIDiffusionLib.benchmark.downstream import DownstreamOptions, LabelDice, format_dice, run_downstream_benchmark
from LMIDiffusionLib.benchmark.pairs import Pair
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume
from LMIDiffusionLib.model.checkpoint import Checkpoint, save_checkpoint
from LMIDiffusionLib.translation.options import TranslationOptions

TOOL = """
import sys, nibabel as nib, numpy as np
source, output = sys.argv[1:3]
with open(sys.argv[3], "a") as log: log.write(source + "\\n")
image = nib.load(source)
values = image.get_fdata()
if values.max() == 1234: sys.exit("this image hurts")
labels = np.where(values > values.mean(), 1 + (values > 2 * values.mean()), 0).astype(np.uint8)
nib.save(nib.Nifti1Image(labels, image.affine), output)
"""


@pytest.fixture
def checkpoint(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def tool(tmp_path: Path) -> str:
    folder = tmp_path / "a tool"
    folder.mkdir()
    (folder / "segment.py").write_text(TOOL)
    return f'"{sys.executable}" "{folder / "segment.py"}" {{input}} {{output}} "{tmp_path / "calls"}"'


@pytest.fixture
def pairs(head: Volume, tmp_path: Path) -> list[Pair]:
    """Two sources of one person: the target in other units, and inverted but for the air."""
    target = head.array / head.array.max()
    for name, array in (
        ("target", target),
        ("scaled", 7 * target),
        ("inverted", np.where(target > 0.05, 1.05 - target, 0)),
    ):
        write_volume(tmp_path / f"{name}.nii.gz", head.with_array(array.astype(np.float32)))
    return [Pair(n, tmp_path / f"{n}.nii.gz", tmp_path / "target.nii.gz", None, "one") for n in ("scaled", "inverted")]


def options(pairs: list[Pair], checkpoint: Path, tool: str, tmp_path: Path, **changes: Any) -> DownstreamOptions:
    chosen: dict[str, Any] = {
        "pairs": pairs,
        "output": tmp_path / "out",
        "tool": tool,
        "checkpoint": str(checkpoint),
        "device": "cpu",
        "translation": TranslationOptions(steps=2, samples=1),
        **changes,
    }
    return DownstreamOptions(**chosen)


def dice(folder: Path) -> dict[tuple[str, str, int], float]:
    with (folder / "dice.csv").open() as file:
        return {(r["pair"], r["method"], int(r["label"])): float(r["dice"]) for r in csv.DictReader(file)}


def calls(tmp_path: Path) -> list[str]:
    return [Path(line).name for line in (tmp_path / "calls").read_text().splitlines()]


def test_a_tool_is_compared_with_itself_on_the_true_target(
    pairs: list[Pair], checkpoint: Path, tool: str, tmp_path: Path
) -> None:
    report = run_downstream_benchmark(options(pairs, checkpoint, tool, tmp_path))
    assert report.failures == []
    found = dice(tmp_path / "out")
    assert found["scaled", "source", 1] == found["scaled", "source", 2] == 1, "units make no difference to this tool"
    assert found["inverted", "source", 2] < 0.8
    assert {method for _, method, _ in found} == {"source", "lmidiffusion"}
    assert len([name for name in calls(tmp_path) if name == "target.nii.gz"]) == 1, "two pairs have one target"
    assert (tmp_path / "out" / "tables.md").read_text(encoding="utf-8") == report.tables + "\n"


def test_dice_is_that_of_the_label_maps(pairs: list[Pair], checkpoint: Path, tool: str, tmp_path: Path) -> None:
    run_downstream_benchmark(options(pairs, checkpoint, tool, tmp_path))
    (translated,) = (tmp_path / "out" / "001-inverted").glob("lmidiffusion-labels.nii.gz")
    (true,) = (tmp_path / "out").glob("*/target-labels.nii.gz")
    first, second = (read_volume(path).array for path in (translated, true))
    expected = 2 * ((first == 1) & (second == 1)).sum() / ((first == 1).sum() + (second == 1).sum())
    assert dice(tmp_path / "out")["inverted", "lmidiffusion", 1] == pytest.approx(expected)


def test_a_translation_for_the_tool_is_that_of_the_translate_command(
    pairs: list[Pair], checkpoint: Path, tool: str, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    run_downstream_benchmark(options(pairs, checkpoint, tool, tmp_path, methods=["identity", "target-to-itself"]))
    source = read_volume(pairs[1].source)
    kept = read_volume(tmp_path / "out" / "001-inverted" / "identity.nii.gz")
    assert kept.array.shape == source.array.shape
    np.testing.assert_allclose(kept.affine, source.affine)
    translations = [
        read_volume(tmp_path / "out" / name / "target-to-itself.nii.gz") for name in ("000-scaled", "001-inverted")
    ]
    np.testing.assert_array_equal(translations[0].array, translations[1].array)  # of one true target


def test_label_maps_are_kept_and_methods_can_be_added(
    pairs: list[Pair], checkpoint: Path, tool: str, tmp_path: Path
) -> None:
    first = run_downstream_benchmark(options(pairs, checkpoint, tool, tmp_path))
    before = calls(tmp_path)
    assert run_downstream_benchmark(options(pairs, checkpoint, tool, tmp_path)) == first
    assert calls(tmp_path) == before
    (tmp_path / "out" / "001-inverted" / "source-labels.nii.gz").unlink()
    run_downstream_benchmark(options(pairs, checkpoint, tool, tmp_path, methods=["lmidiffusion", "target-to-itself"]))
    assert calls(tmp_path)[len(before) :] == ["target-to-itself.nii.gz", "inverted.nii.gz", "target-to-itself.nii.gz"]


def test_a_failed_run_is_reported_with_the_tools_last_line_and_the_others_go_on(
    pairs: list[Pair], checkpoint: Path, tool: str, head: Volume, tmp_path: Path
) -> None:
    write_volume(pairs[0].source, head.with_array(np.where(head.array > head.array.mean(), 1234, 0).astype(np.int16)))
    report = run_downstream_benchmark(options(pairs, checkpoint, tool, tmp_path))
    (failure,) = report.failures
    assert failure.startswith("scaled, source: the tool ended with status 1 (this image hurts)")
    assert {(pair, method) for pair, method, _ in dice(tmp_path / "out")} == {
        ("scaled", "lmidiffusion"),
        ("inverted", "source"),
        ("inverted", "lmidiffusion"),
    }
    assert not list((tmp_path / "out").glob("*/.tool-*"))


def test_a_tool_that_writes_nothing_or_on_another_grid_fails(
    pairs: list[Pair], checkpoint: Path, tmp_path: Path
) -> None:
    silent = f'"{sys.executable}" -c pass {{input}} {{output}}'
    with pytest.raises(UserError, match="wrote no label map"):
        run_downstream_benchmark(options(pairs, checkpoint, silent, tmp_path))
    script = tmp_path / "small.py"
    script.write_text(
        "import sys, nibabel as nib, numpy as np\n"
        "nib.save(nib.Nifti1Image(np.eye(4, dtype=np.uint8)[None], np.eye(4)), sys.argv[2])"
    )
    small = f'"{sys.executable}" "{script}" {{input}} {{output}}'
    with pytest.raises(UserError, match="no label on the scan"):
        run_downstream_benchmark(options(pairs, checkpoint, small, tmp_path, output=tmp_path / "other"))


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ("segment {input}", "lacks"),
        ("no-such-program {input} {output}", "no program no-such-program"),
        ('"segment {input} {output}', "check its quotes"),
        ("", "lacks"),
    ],
)
def test_a_bad_command_is_refused_before_anything_is_written(
    pairs: list[Pair], checkpoint: Path, tmp_path: Path, tool: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_downstream_benchmark(options(pairs, checkpoint, tool, tmp_path))
    assert not (tmp_path / "out").exists()


def test_no_shell_reads_the_command(pairs: list[Pair], checkpoint: Path, tool: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    run_downstream_benchmark(options(pairs[:1], checkpoint, f"{tool} ; touch '{marker}'", tmp_path))
    assert not marker.exists()


def test_the_table_has_one_row_per_label_with_means_over_people() -> None:
    """Anna has two pairs and counts once; the atlas does not count."""
    shifts = {"a1": 0.0, "a2": 0.1, "b": 0.25, "atlas": 9.0}
    scores = [
        LabelDice(pair, method, label, value)
        for pair, shift in shifts.items()
        for method, label, value in (("source", 1, 0.1 + shift), ("ours", 1, 0.7 + shift), ("ours", 2, 0.5))
    ]
    subjects = {"a1": "anna", "a2": "anna", "b": "ben"}
    pairs = [Pair(name, Path(name), Path("t1w"), None, subject) for name, subject in subjects.items()]
    pairs.append(Pair("atlas", Path("atlas"), Path("t1w"), None, "sri24", kind="atlas"))
    lines = format_dice(scores, pairs).splitlines()
    rows = {cells[0]: cells[1:] for cells in ([c.strip() for c in line.strip("|").split("|")] for line in lines[2:])}
    assert rows["label"] == ["source", "ours"]
    assert rows["1"] == ["0.250 ± 0.100", "0.850 ± 0.100"]
    assert rows["2"] == ["-", "0.500 ± 0.000"]
    assert rows["people"] == ["2", "2"]
