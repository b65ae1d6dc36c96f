"""Choice of a folder's scans by a cohort, and the table of volumes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CohortRun
from dicom_files import save_series

from LMIDiffusionLib.cohort.inputs import find_cohort
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume


@pytest.fixture
def folder(thin_scan: Volume, tmp_path: Path) -> Path:
    """Two scans, and what usually lies beside them."""
    place = tmp_path / "in"
    place.mkdir()
    for name in ("anna_FLAIR", "ben-T2w", "anna_T1w", "anna_mask", "ben_dlmuse", "ben_t1"):
        write_volume(place / f"{name}.nii.gz", thin_scan)
    return place


def test_label_maps_and_the_target_modality_are_left_out_of_a_folder(folder: Path, tmp_path: Path) -> None:
    cohort = find_cohort(str(folder), tmp_path / "out", target="T1w")
    assert [scan.name for scan in cohort.scans] == ["anna_FLAIR.nii.gz", "ben-T2w.nii.gz"]
    assert [name for name, _ in cohort.left_out] == [
        *("anna_T1w.nii.gz", "anna_mask.nii.gz", "ben_dlmuse.nii.gz", "ben_t1.nii.gz"),
    ]


def test_a_pattern_takes_whatever_it_names(folder: Path, tmp_path: Path) -> None:
    cohort = find_cohort(f"{folder}/*_T1w.nii.gz", tmp_path / "out", target="T1w")
    assert [scan.name for scan in cohort.scans] == ["anna_T1w.nii.gz"]


def test_a_dry_run_lists_what_would_be_done_and_writes_nothing(
    folder: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run_cohort(f"{folder}/ben*", output) == 0
    before = sorted(output.rglob("*"))
    capsys.readouterr()
    assert run_cohort(folder, output, "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "anna_FLAIR.nii.gz: translate" in lines
    assert "ben-T2w.nii.gz: finished" in lines
    assert "ben_dlmuse.nii.gz: left out: It is named as a label map." in lines
    assert lines[-1] == "1 translate; 1 finished; 4 left out"
    assert run_cohort(folder, output, "--dry-run", "--seed", "7") == 0
    assert "ben-T2w.nii.gz: finished with other settings or files; needs --overwrite" in capsys.readouterr().out
    assert sorted(output.rglob("*")) == before


def test_volumes_of_all_scans_stand_in_one_table_and_agree_with_the_label_maps(
    folder: Path, run_cohort: CohortRun, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert run_cohort(folder, output) == 0
    with (output / "volumes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["scan"] for row in rows} == {"anna_FLAIR.nii.gz", "ben-T2w.nii.gz"}
    labels = read_volume(output / "ben-T2w_desc-kmeans_dseg.nii.gz")
    voxel = abs(np.linalg.det(labels.affine[:3, :3])) / 1000
    for row in rows:
        if row["scan"] == "ben-T2w.nii.gz":
            counted = (labels.array == int(row["label"])).sum() * voxel
            assert float(row["milliliters"]) == pytest.approx(counted, abs=2e-3)


def test_names_in_the_table_are_no_formulas(thin_scan: Volume, run_cohort: CohortRun, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_volume(tmp_path / "in" / "=1+1_T2w.nii.gz", thin_scan)
    assert run_cohort(tmp_path / "in", tmp_path / "out") == 0
    assert (tmp_path / "out" / "volumes.csv").read_text().splitlines()[1].startswith("'=1+1_T2w.nii.gz,1,")


def test_every_suffix_that_matches_nothing_is_refused(
    thin_scan: Volume, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    anatomy = raw / "sub-01" / "anat"
    anatomy.mkdir(parents=True)
    (raw / "dataset_description.json").write_text(json.dumps({"Name": "Raw", "BIDSVersion": "1.9.0"}))
    write_volume(anatomy / "sub-01_FLAIR.nii.gz", thin_scan)
    assert run_cohort(raw, tmp_path / "out", "--suffix", "FLAIR", "FLARE") == 2
    assert "no scan with the suffix FLARE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_dicom_files_alone_is_answered_by_a_pattern_of_its_series(
    thin_scan: Volume, tmp_path: Path, run_cohort: CohortRun, capsys: pytest.CaptureFixture[str]
) -> None:
    save_series(tmp_path / "CD/study/SE1", thin_scan.with_array(thin_scan.array.astype(np.int16)))
    assert run_cohort(tmp_path / "CD", tmp_path / "out") == 2
    advice = f"It holds DICOM files; give a quoted pattern of the series' folders, e.g. '{tmp_path / 'CD'}/*/*'."
    assert advice in capsys.readouterr().err
    assert run_cohort(f"{tmp_path / 'CD'}/*/*", tmp_path / "out", "--dry-run") == 0


def test_several_labels_may_be_separated_by_commas_and_group_has_nothing_to_do(
    thin_scan: Volume, tmp_path: Path, run_cohort: CohortRun, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    for person in ("01", "02", "03"):
        (raw / f"sub-{person}" / "anat").mkdir(parents=True)
        for suffix in ("T1w", "T2w"):
            write_volume(raw / f"sub-{person}/anat/sub-{person}_{suffix}.nii.gz", thin_scan)
    (raw / "dataset_description.json").write_text(json.dumps({"Name": "Raw", "BIDSVersion": "1.9.0"}))
    assert run_cohort(raw, tmp_path / "out", "participant", "--dry-run", "--participant-label", "01,sub-03") == 0
    lines = capsys.readouterr().out.splitlines()
    own = "sub-01/anat/sub-01_T1w.nii.gz: left out: It is a T1w scan already; sub-01 has a T1w of its own."
    assert own in lines and lines[-1] == "2 translate; 2 left out"
    assert run_cohort(raw, tmp_path / "out", "group") == 0
    assert capsys.readouterr().out == "Nothing to do for group: qc.html and volumes.csv are always complete.\n"
    assert run_cohort(raw, tmp_path / "out", "--suffix", "T2W") == 2
    assert "there are those of T2w." in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="other systems tell memory otherwise")
def test_a_plan_of_thousands_of_scans_takes_little_memory_and_needs_no_pytorch(tmp_path: Path) -> None:
    """300 MB are enough for 100,000 scans; here are 5,000."""
    (tmp_path / "in").mkdir()
    for number in range(5000):
        (tmp_path / "in" / f"{number}_T2w.nii.gz").touch()
    code = f"""
import sys
from pathlib import Path
from LMIDiffusionLib.cli import main
try:
    main(["translate-cohort", {str(tmp_path / "in")!r}, {str(tmp_path / "out")!r}, "--dry-run"])
finally:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(*{{"torch", "lightning"}} & set(sys.modules), int(status["VmHWM"].split()[0]) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *_, summary, used = done.stdout.splitlines()
    assert summary == "5000 translate"
    assert int(used) < 100, "nothing but the number of mebibytes"
