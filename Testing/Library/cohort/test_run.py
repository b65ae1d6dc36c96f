"""Cohorts: which scans are found, what is written for them, what is skipped, and what becomes of those that fail."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CohortRun
from dicom_files import save_series
from nibabel.openers import Opener

from LMIDiffusionLib.cli import main
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.runs.claims import Claims
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import translate

SCANS = ("sub-01/T2w.nii.gz", "sub-02/T2w.nii.gz", "other/deep/PDw.nii")
RESULTS = (
    "desc-translated_T1w.nii.gz",
    "desc-translated_T1w.json",
    "desc-kmeans_dseg.nii.gz",
    "desc-kmeans_dseg.tsv",
    "desc-kmeans_dseg.json",
)
FAST = TranslationOptions.from_preset("fast")


@pytest.fixture
def folder(thin_scan: Volume, tmp_path: Path) -> Path:
    """A folder of scans of one name, and with what is no scan."""
    for number, name in enumerate(SCANS):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True)
        write_volume(path, thin_scan.with_array(np.roll(thin_scan.array, number, 0)))
    (tmp_path / "in" / "notes.txt").write_text("no scan")
    shutil.copy(tmp_path / "in" / SCANS[0], tmp_path / "in" / "sub-01" / "._T2w.nii.gz")
    return tmp_path / "in"


def found(output: Path) -> set[str]:
    """Names of the translations."""
    return {path.relative_to(output).as_posix() for path in output.rglob("*_desc-translated_T1w.nii.gz")}


def failures(output: Path) -> dict[str, str]:
    with (output / "failures.csv").open(newline="") as file:
        return {row["scan"]: row["reason"] for row in csv.DictReader(file)}


def test_cohort_results_mirror_the_folders_and_equal_those_of_translate(
    folder: Path, run_cohort: CohortRun, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert run_cohort(folder, output) == 0
    stems = [name.partition(".")[0] for name in SCANS]
    assert {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()} == {
        *(f"{stem}_{end}" for stem in stems for end in RESULTS),
        *(f"figures/{stem}_desc-quality.webp" for stem in stems),
        "qc.html",
        "volumes.csv",
    }
    for name, stem in zip(SCANS, stems, strict=True):
        source, result = read_volume(folder / name), read_volume(output / f"{stem}_desc-translated_T1w.nii.gz")
        assert result.shares_grid_with(source)
        np.testing.assert_array_equal(result.array, translate(source, tiny_checkpoint, FAST).volume.array)
        labels = read_volume(output / f"{stem}_desc-kmeans_dseg.nii.gz")
        table = (output / f"{stem}_desc-kmeans_dseg.tsv").read_text().splitlines()
        assert table == ["index\tname", *(f"{number}\tClass {number}" for number in range(1, 6))]
        account = json.loads((output / f"{stem}_desc-kmeans_dseg.json").read_text())["LMIDiffusion"]
        voxel = abs(np.linalg.det(source.affine[:3, :3])) / 1000
        for each in account["Volumes"]:
            assert each["Milliliters"] == pytest.approx((labels.array == each["Label"]).sum() * voxel, abs=1e-3)


def test_the_sidecar_records_sources_checkpoint_and_options(
    folder: Path, run_cohort: CohortRun, tmp_path: Path
) -> None:
    assert run_cohort(folder, tmp_path / "out", "--samples", 2, "--seed", 7) == 0
    told = json.loads((tmp_path / "out/sub-01/T2w_desc-translated_T1w.json").read_text())
    assert told["Sources"] == ["sub-01/T2w.nii.gz"]
    ours = told["LMIDiffusion"]
    assert ours["Checkpoint"] == "tiny"
    assert len(ours["CheckpointSHA256"]) == 64
    assert ours["Options"]["Samples"] == 2
    assert ours["Options"]["Seed"] == 7
    assert ours["Version"]


def test_a_pattern_selects_matching_scans(folder: Path, run_cohort: CohortRun, tmp_path: Path) -> None:
    assert run_cohort(f"{folder}/*/T2w.nii.gz", tmp_path / "out") == 0
    assert found(tmp_path / "out") == {f"sub-0{number}/T2w_desc-translated_T1w.nii.gz" for number in (1, 2)}


def test_cohorts_include_other_formats_and_dicom_folders(
    thin_scan: Volume, run_cohort: CohortRun, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    for name in ("1.2.840", "1.2.841"):
        save_series(folder / "dicom" / name, thin_scan.with_array(thin_scan.array.astype(np.int16)))
    write_volume(folder / "scan.nrrd", thin_scan)
    write_volume(folder / "scan2.mgz", thin_scan)
    assert run_cohort(folder, tmp_path / "files") == 0
    assert found(tmp_path / "files") == {f"{name}_desc-translated_T1w.nii.gz" for name in ("scan", "scan2")}
    assert run_cohort(f"{folder}/dicom/*", tmp_path / "series") == 0
    assert found(tmp_path / "series") == {f"1.2.84{number}_desc-translated_T1w.nii.gz" for number in (0, 1)}


def test_a_mask_in_the_list_turns_classes_into_tissues(
    folder: Path, thin_scan: Volume, run_cohort: CohortRun, tmp_path: Path
) -> None:
    inside = np.zeros(thin_scan.array.shape, np.uint8)
    inside[15:40, 15:45, 1:3] = 1
    write_volume(tmp_path / "mask.nii.gz", thin_scan.with_array(inside))
    rows = ["Mask;source", "mask.nii.gz;in/sub-01/T2w.nii.gz", ";in/sub-02/T2w.nii.gz", ";in/lost.nii.gz"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    output = tmp_path / "out"
    assert run_cohort(tmp_path / "list.csv", output) == 1
    assert found(output) == {f"in/sub-0{number}/T2w_desc-translated_T1w.nii.gz" for number in (1, 2)}
    assert "line 4 names" in failures(output)["list.csv"]
    labels = read_volume(output / "in/sub-01/T2w_desc-kmeans_dseg.nii.gz").array
    assert not labels[inside == 0].any() and set(np.unique(labels[inside == 1])) <= {1, 2, 3}
    tables = [(output / f"in/sub-0{number}/T2w_desc-kmeans_dseg.tsv").read_text() for number in (1, 2)]
    assert tables[0] == "index\tname\n1\tCSF\n2\tgray matter\n3\twhite matter\n"
    assert "Class 1" in tables[1]
    told = json.loads((output / "in/sub-01/T2w_desc-translated_T1w.json").read_text())
    assert told["Sources"] == ["in/sub-01/T2w.nii.gz", "mask.nii.gz"]


def test_the_output_folder_is_not_searched_for_scans(folder: Path, run_cohort: CohortRun) -> None:
    for _ in range(2):
        assert run_cohort(folder, folder / "results") == 0
    assert len(found(folder / "results")) == len(SCANS)


def snapshot(output: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}


def test_finished_scans_are_skipped_unless_overwrite_is_given(
    folder: Path, run_cohort: CohortRun, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert run_cohort(folder, output) == 0
    first = snapshot(output)
    lost = output / "sub-01/T2w_desc-kmeans_dseg.nii.gz"
    content = lost.read_bytes()
    lost.unlink()
    assert run_cohort(folder, output) == 0
    assert lost.read_bytes() == content
    changed = {path for path, time in snapshot(output).items() if first[path] != time}
    changed -= {output / "qc.html", output / "volumes.csv"}
    assert changed and all(path.name.startswith("T2w_") and path.parent.name == "sub-01" for path in changed)
    second = snapshot(output)
    assert run_cohort(folder, output, "--overwrite") == 0
    third = snapshot(output)
    assert all(second[path] != third[path] for path in second)


def test_results_with_other_options_are_kept_unless_overwrite_is_given(
    folder: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run_cohort(folder, output) == 0
    before = snapshot(output)
    assert run_cohort(folder, output, "--steps", 3) == 1
    kept = {path for path, time in snapshot(output).items() if before.get(path) == time}
    assert kept == before.keys() - {output / "qc.html", output / "volumes.csv"}
    assert failures(output).keys() == {*SCANS}
    assert "--overwrite" in failures(output)[SCANS[0]]
    assert capsys.readouterr().err.count("--overwrite") == len(SCANS)
    assert run_cohort(folder, output, "--steps", 3, "--overwrite") == 0
    assert not (output / "failures.csv").exists()
    assert run_cohort(folder, output, "--steps", 3) == 0


def test_a_failed_scan_is_reported_skipped_and_retried_by_the_next_call(
    folder: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, damaged = tmp_path / "out", folder / SCANS[0]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:500])
    empty = read_volume(folder / SCANS[2])
    array = np.zeros_like(empty.array)
    array[5, 5, 1] = 1000
    write_volume(folder / SCANS[2], empty.with_array(array))
    assert run_cohort(folder, output) == 1
    assert found(output) == {"sub-02/T2w_desc-translated_T1w.nii.gz"}
    assert failures(output)[SCANS[0]].startswith("It is damaged or truncated"), "its name stands beside it"
    assert "No head was found" in failures(output)[SCANS[2]]
    told = capsys.readouterr()
    assert f"{SCANS[0]}: " in told.err and "Traceback" not in told.err
    assert "Traceback" in (output / "logs/sub-01/T2w_failure.txt").read_text(), "for a programmer"
    damaged.write_bytes(whole)
    (folder / SCANS[2]).unlink()
    assert run_cohort(folder, output) == 0
    assert len(found(output)) == 2
    assert not (output / "failures.csv").exists()


def test_a_scan_with_incomplete_results_does_not_count_as_done(
    folder: Path, run_cohort: CohortRun, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    in_the_way = output / "sub-01/T2w_desc-translated_T1w.nii.gz"
    in_the_way.mkdir(parents=True)
    assert run_cohort(folder, output) == 1
    assert failures(output).keys() == {SCANS[0]}
    assert not (output / "sub-01/T2w_desc-translated_T1w.json").exists()
    assert not [path for path in output.rglob(".*") if path.is_file()]
    in_the_way.rmdir()
    assert run_cohort(folder, output) == 0
    assert in_the_way.is_file()


def test_scans_with_colliding_results_are_reported(folder: Path, run_cohort: CohortRun, tmp_path: Path) -> None:
    twin = folder / "sub-01/T2w.nii"
    with Opener(str(folder / SCANS[0])) as packed:
        twin.write_bytes(packed.read())
    assert run_cohort(folder, tmp_path / "out") == 1
    ((name, reason),) = failures(tmp_path / "out").items()
    assert name.startswith("sub-01/T2w.nii")
    assert "overwrite" in reason
    assert len(found(tmp_path / "out")) == len(SCANS)


def test_notices_about_a_scan_are_kept_beside_its_result(
    folder: Path, thin_scan: Volume, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_volume(folder / SCANS[1], thin_scan.with_array((thin_scan.array + 500).astype(np.float32)))
    gaps = thin_scan.array.astype(np.float32)
    gaps[0, :3, 0] = np.nan
    write_volume(folder / SCANS[2], thin_scan.with_array(gaps))
    assert run_cohort(folder, tmp_path / "out") == 0
    told = [
        json.loads((tmp_path / "out" / f"{name.partition('.')[0]}_desc-translated_T1w.json").read_text())
        for name in SCANS
    ]
    texts = [each["LMIDiffusion"]["Notices"] for each in told]
    assert texts[0] == []
    assert "background that is not zero" in texts[1][0]
    assert texts[2] == ["PDw.nii has 3 NaN or infinite voxels, which count as air."]
    assert "lmidiffusion: " not in capsys.readouterr().err


def abandoned_claim(output: Path, name: str, *, is_dead: bool) -> str:
    """The token of a claim of another process, which still runs or not."""
    claims, claim = Claims(output), None
    if is_dead:
        with multiprocessing.get_context("forkserver").Pool(1) as pool:
            claim, _ = pool.apply(take_claim, (output, name))
    else:
        claim, _ = claims.take(name) or (None, ())
    assert claim is not None
    return claim.token


def take_claim(output: Path, name: str) -> Any:
    return Claims(output).take(name)


def test_only_what_a_killed_call_has_left_is_removed(
    folder: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    for name in ("sub-01", "other/deep", ".claims"):
        (output / name).mkdir(parents=True)
    dead = abandoned_claim(output, "sub-01/T2w", is_dead=True)
    alive = abandoned_claim(output, "other/deep/PDw", is_dead=False)
    left = output / f"sub-01/.T2w_desc-translated_T1w-{dead}.nii.gz"
    mine = [output / name for name in (".notes-20240115.txt", ".qc-old_list.html", "sub-01/.T2w_x-ab12cd3_.nii.gz")]
    busy = output / f"other/deep/.PDw_desc-translated_T1w-{alive}.nii.gz"
    for path in (left, busy, *mine):
        path.write_text("half")
    assert run_cohort(folder, output) == 0
    assert "1 in another call" in capsys.readouterr().out
    assert not left.exists()
    assert all(path.read_text() == "half" for path in (busy, *mine))
    assert found(output) == {f"sub-0{number}/T2w_desc-translated_T1w.nii.gz" for number in (1, 2)}


def test_a_folder_with_files_of_others_is_refused_and_left_alone(
    folder: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    for name in ("README.md", "qc.html", "failures.csv", ".hidden"):
        (output / name).write_text("mine")
    assert run_cohort(folder, output) == 2
    assert "holds other files" in capsys.readouterr().err
    assert {path.name: path.read_text() for path in output.iterdir()} == dict.fromkeys(
        ("README.md", "qc.html", "failures.csv", ".hidden"), "mine"
    )


def test_files_of_others_in_a_folder_of_results_are_left_alone(
    folder: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run_cohort(folder, output) == 0
    (output / "failures.csv").write_text("name,remark\nmine,1\n")
    assert run_cohort(folder, output) == 0
    assert (output / "failures.csv").read_text().startswith("name,remark")
    (output / "qc.html").write_text("mine")
    (output / "failures.csv").unlink()
    assert run_cohort(folder, output) == 2
    assert (output / "qc.html").read_text() == "mine"


def test_damaged_results_are_made_anew(folder: Path, run_cohort: CohortRun, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert run_cohort(folder, output) == 0
    sound = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    files = [output / f"sub-01/T2w_{end}" for end in RESULTS[:3]] + [output / f"sub-02/T2w_{RESULTS[4]}"]
    for path, content in zip(files, (b"", b'{"Sources": ', b"", b"{"), strict=True):
        path.write_bytes(content)
    assert run_cohort(folder, output) == 0
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == sound


def test_a_source_that_has_changed_is_translated_again_and_one_that_was_copied_is_not(
    folder: Path, thin_scan: Volume, run_cohort: CohortRun, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert run_cohort(folder, output) == 0
    before = snapshot(output)
    write_volume(folder / SCANS[0], thin_scan.with_array(thin_scan.array[::-1].copy()))
    os.utime(folder / SCANS[0], (1, 1))
    os.utime(folder / SCANS[1])
    assert run_cohort(folder, output) == 0
    changed = {path for path, time in snapshot(output).items() if before[path] != time}
    changed -= {output / "qc.html", output / "volumes.csv"}
    assert changed and all("sub-01" in path.parts for path in changed)


def test_names_in_any_bytes_and_of_any_length_stop_no_cohort(
    folder: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / SCANS[0], folder / os.fsdecode(b"M\xfcller_\x1b[31m.nii.gz"))
    shutil.copy(folder / SCANS[0], folder / f"{240 * 'x'}.nii.gz")
    shutil.copy(folder / SCANS[0], folder / "=1+1.nii.gz")
    output = tmp_path / "out"
    assert run_cohort(folder, output) == 1
    assert len(found(output)) == len(SCANS) + 2
    ((name, reason),) = failures(output).items()
    assert name.startswith("xxx") and "too long" in reason
    assert "M\\udcfcller" in (output / "qc.html").read_text()


def test_links_lead_to_each_folder_once_and_never_out_of_the_output(
    folder: Path, run_cohort: CohortRun, tmp_path: Path
) -> None:
    (folder / "sub-01" / "latest").symlink_to("..")
    (folder / "again").symlink_to(folder / "sub-02")
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run_cohort(folder, output) == 0
    assert found(output) == {f"{name.partition('.')[0]}_desc-translated_T1w.nii.gz" for name in SCANS}
    for path in sorted((output / "sub-02").iterdir()):
        path.rename(elsewhere / path.name)
        path.symlink_to(elsewhere / path.name)
    (output / "sub-01").rename(output / "moved")
    (output / "sub-01").symlink_to(elsewhere)
    kept = {path.name: path.read_bytes() for path in elsewhere.iterdir()}
    assert run_cohort(folder, output, "--overwrite", "--steps", 2) == 1
    assert SCANS[0] in failures(output)
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == kept


def test_a_pattern_with_dots_writes_nothing_outside(folder: Path, run_cohort: CohortRun, tmp_path: Path) -> None:
    output = tmp_path / "a" / "b" / "out"
    assert run_cohort(folder / "sub-01" / ".." / ".." / "in" / "*" / "T2w.nii.gz", output) == 0
    assert len(found(output)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"in", "a"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{in}/nothing/*.nii.gz", "{out}"], "No scan was found"),
        (["{in}", "{in}"], "is the folder of the scans"),
        (["{in}", "{in}/notes.txt"], "cannot be written to"),
        (["{in}", "{out}", "participant"], "is no BIDS data set"),
        (["{in}", "{out}", "--participant-label", "01"], "is no BIDS data set"),
        (["{in}", "{out}", "--device", "cuda:1"], "give --device cuda and --devices"),
        (["{in}", "{out}", "--checkpoint", "/nowhere"], "There is no checkpoint"),
        (["{in}", "{out}", "--clusters", "4"], "knows no 4 clusters"),
        (["{in}", "{out}", "--clusters", "5", "--find-brain"], "gives three tissues"),
        (["{in}", "{out}", "--samples", "0"], "samples cannot be 0"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    with pytest.raises(SystemExit) as left:
        main(["translate-cohort", *(each.format(**{"in": folder, "out": output}) for each in arguments)])
    assert left.value.code == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_log_file_gets_a_line_about_each_scan_and_the_end_names_the_files(
    folder: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    (folder / SCANS[0]).write_bytes(b"no scan")
    assert run_cohort(folder, output) == 1
    told = capsys.readouterr()
    first, *lines = told.err.splitlines()
    assert first == "3 of 3 scans to translate on cpu; quality fast"
    assert lines[0].startswith(f"1 of 3: {SCANS[0]} failed: It is a text file, not a scan")
    assert re.fullmatch(r"2 of 3: other/deep/PDw\.nii translated in \d+ s", lines[1])
    assert re.fullmatch(rf"3 of 3: {SCANS[1]} translated in \d+ s", lines[2])
    assert told.out.splitlines()[-1] == (
        f"2 translated, 1 failed; look at {output / 'qc.html'}; failed scans: {output / 'failures.csv'}"
    )
    assert run_cohort(folder, tmp_path / "quiet", "--quiet") == 1
    assert "translated" not in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_refused(folder: Path, run_cohort: CohortRun, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    assert run_cohort(folder, tmp_path / "out") == 2


def test_a_scan_whose_content_was_not_fetched_is_named_with_the_way_to_it_and_the_others_are_done(
    folder: Path, tmp_path: Path, run_cohort: CohortRun
) -> None:
    (folder / SCANS[0]).unlink()
    (folder / SCANS[0]).symlink_to("../.git/annex/objects/aa/bb/KEY/KEY.nii.gz")
    assert run_cohort(folder, tmp_path / "out") == 1
    assert len(found(tmp_path / "out")) == 2
    with (tmp_path / "out" / "failures.csv").open() as file:
        (failure,) = csv.DictReader(file)
    assert failure["scan"] == SCANS[0] and "git annex get" in failure["reason"]


def test_expected_errors_stand_in_the_table_on_the_page_and_in_the_sidecar(
    thin_scan: Volume, run_cohort: CohortRun, tmp_path: Path
) -> None:
    source, output = tmp_path / "scans", tmp_path / "out"
    source.mkdir()
    write_volume(source / "T2w.nii.gz", thin_scan)
    assert run_cohort(source, output, "--expected-error") == 0
    with (output / "volumes.csv").open(newline="") as file:
        (error,) = {float(row["expected_error"]) for row in csv.DictReader(file)}
    assert 0 < error < 1
    sidecar = json.loads((output / "T2w_desc-translated_T1w.json").read_text())
    assert sidecar["LMIDiffusion"]["MeanExpectedError"] == error
    page = (output / "qc.html").read_text()
    assert f'data-error="{error}"' in page and "expected error, largest first" in page
    before = snapshot(output)
    assert run_cohort(source, output, "--expected-error") == 0
    changed = {path for path, time in snapshot(output).items() if before[path] != time}
    assert changed <= {output / "qc.html", output / "volumes.csv"}
