"""`translate --volumes`: the table of volumes of one scan."""

import csv
from pathlib import Path

import numpy as np
import pytest

from LMIDiffusionLib.cli import main
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume


@pytest.fixture
def scan(thin_scan: Volume, tmp_path: Path) -> Path:
    write_volume(tmp_path / "scan.nii.gz", thin_scan)
    return tmp_path / "scan.nii.gz"


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["translate", *map(str, words)])
    return int(left.value.code or 0)


def test_volumes_agree_with_the_label_map(
    scan: Path, tmp_path: Path, cohort_options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = [tmp_path / name for name in ("t1w.nii.gz", "classes.nii.gz", "volumes.csv")]
    assert run(scan, outputs[0], "--segmentation", outputs[1], "--volumes", outputs[2], *cohort_options) == 0
    assert f"Wrote {outputs[2]}" in capsys.readouterr().out
    labels = read_volume(outputs[1])
    voxel = abs(np.linalg.det(labels.affine[:3, :3])) / 1000
    with outputs[2].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["1", "2", "3", "4", "5"]
    for row in rows:
        assert row["scan"] == str(scan)
        assert float(row["milliliters"]) == pytest.approx((labels.array == int(row["label"])).sum() * voxel, abs=2e-3)


def test_volumes_need_no_label_map(scan: Path, tmp_path: Path, cohort_options: tuple[str, ...]) -> None:
    assert run(scan, tmp_path / "t1w.nii.gz", "--clusters", 3, "--volumes", tmp_path / "v.csv", *cohort_options) == 0
    assert len((tmp_path / "v.csv").read_text().splitlines()) == 4


def test_an_existing_table_is_kept(scan: Path, tmp_path: Path, cohort_options: tuple[str, ...]) -> None:
    (tmp_path / "v.csv").write_text("mine")
    assert run(scan, tmp_path / "t1w.nii.gz", "--volumes", tmp_path / "v.csv", *cohort_options) == 2
    assert (tmp_path / "v.csv").read_text() == "mine"
    assert not (tmp_path / "t1w.nii.gz").exists()
