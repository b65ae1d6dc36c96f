"""Cohorts from BIDS data sets: which scans are taken, what the derivatives are called, and what the validator says."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import pytest
from conftest import CohortRun

from LMIDiffusionLib.images.volume import Volume, write_volume

# The validator would like to know who the authors are, and the scans have lost their unit in the making.
HARMLESS = {"TOO_FEW_AUTHORS", "NO_AUTHORS", "NIFTI_UNIT"}


def scan_path(root: Path, subject: str, session: str, rest: str) -> Path:
    return root / f"sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_{rest}.nii.gz"


@pytest.fixture
def data_set(thin_scan: Volume, tmp_path: Path) -> Path:
    """Two subjects, two sessions each, three contrasts."""
    root = tmp_path / "raw"
    root.mkdir()
    description = {"Name": "Raw", "BIDSVersion": "1.9.0", "DatasetType": "raw", "License": "CC-BY-4.0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    (root / "README.md").write_text("Slabs of a clinical T2w scan. " * 10)
    shift = 0
    for subject in ("01", "02"):
        for session in ("a", "b"):
            for contrast in ("T1w", "T2w", "FLAIR"):
                path = scan_path(root, subject, session, contrast)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_volume(path, thin_scan.with_array(np.roll(thin_scan.array, shift, 1)))
                shift += 1
    return root


def validated(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the issues that the BIDS validator finds in a data set, by severity."""
    files = importlib.metadata.files("bids-validator-deno") or []
    program = next(file.locate() for file in files if file.stem == "bids-validator-deno")
    command = [str(program), str(folder), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return {kind: [each for each in issues if each["severity"] == kind] for kind in ("error", "warning")}


def translations(output: Path) -> list[str]:
    return sorted(path.name for path in output.rglob("*_desc-translated_T1w.nii.gz"))


def test_the_validator_accepts_the_derivatives_also_with_a_scan_that_failed(
    data_set: Path, run_cohort: CohortRun, tmp_path: Path
) -> None:
    assert validated(data_set)["error"] == []
    scan_path(data_set, "02", "b", "FLAIR").write_bytes(b"no scan")
    output = tmp_path / "derivatives"
    assert run_cohort(data_set, output, "participant") == 1
    told = validated(output)
    assert told["error"] == []
    assert {each["code"] for each in told["warning"]} <= HARMLESS
    assert (output / "failures.csv").exists()
    assert translations(output) == [
        f"sub-{subject}_ses-{session}_acq-{contrast}_desc-translated_T1w.nii.gz"
        for subject in ("01", "02")
        for session in ("a", "b")
        for contrast in ("FLAIR", "T2w")
        if (subject, session, contrast) != ("02", "b", "FLAIR")
    ]
    (output / "sub-01/ses-a/anat/sub-01_ses-a_acq-T2w_desc-translated_T1w.json").unlink()
    assert validated(output)["error"], "the validator reads the sidecars"


def test_bids_links_of_the_sidecar_lead_to_the_sources(data_set: Path, run_cohort: CohortRun, tmp_path: Path) -> None:
    assert run_cohort(data_set, tmp_path / "out", "--suffix", "T2w", "--participant-label", "01") == 0
    description = json.loads((tmp_path / "out/dataset_description.json").read_text())
    assert description["GeneratedBy"][0]["Name"] == "LMIDiffusion"
    assert description["DatasetType"] == "derivative"
    told = json.loads((tmp_path / "out/sub-01/ses-a/anat/sub-01_ses-a_acq-T2w_desc-translated_T1w.json").read_text())
    scheme, link, path = told["Sources"][0].split(":")
    assert scheme == "bids"
    root = Path(url2pathname(urlparse(description["DatasetLinks"][link]).path))
    assert (root / path).samefile(scan_path(data_set, "01", "a", "T2w"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--participant-label", "02", "--session-label", "a"], ["02_ses-a_acq-FLAIR", "02_ses-a_acq-T2w"]),
        (["--participant_label", "sub-02", "--session-label", "ses-b", "--suffix", "T2w"], ["02_ses-b_acq-T2w"]),
        (["--suffix", "T1w", "--session-label", "a"], ["01_ses-a_acq-T1w", "02_ses-a_acq-T1w"]),
    ],
)
def test_participants_sessions_and_suffixes_select_scans(
    data_set: Path, run_cohort: CohortRun, tmp_path: Path, arguments: list[str], expected: list[str]
) -> None:
    assert run_cohort(data_set, tmp_path / "out", *arguments) == 0
    assert translations(tmp_path / "out") == [f"sub-{each}_desc-translated_T1w.nii.gz" for each in expected]


def test_names_keep_their_entities_and_phase_images_are_left_out(
    data_set: Path, thin_scan: Volume, run_cohort: CohortRun, tmp_path: Path
) -> None:
    folder = data_set / "sub-03/anat"
    folder.mkdir(parents=True)
    for name in ("acq-thick_run-2_part-mag_T2w", "acq-thick_run-2_part-phase_T2w", "ce-gadolinium_rec-norm_FLAIR"):
        write_volume(folder / f"sub-03_{name}.nii.gz", thin_scan)
    assert run_cohort(data_set, tmp_path / "out", "--participant-label", "03") == 0
    assert translations(tmp_path / "out") == [
        "sub-03_acq-FLAIR_ce-gadolinium_rec-norm_desc-translated_T1w.nii.gz",
        "sub-03_acq-thickT2w_run-2_part-mag_desc-translated_T1w.nii.gz",
    ]
    assert validated(tmp_path / "out")["error"] == []


def content(output: Path) -> dict[str, bytes]:
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def test_calls_for_single_participants_give_the_data_set_of_one_call(
    data_set: Path, run_cohort: CohortRun, tmp_path: Path
) -> None:
    """Cluster jobs of one participant each: the second keeps the failure of the first in the list."""
    scan_path(data_set, "01", "a", "T2w").write_bytes(b"no scan")
    one, several = tmp_path / "one", tmp_path / "several"
    assert run_cohort(data_set, one) == 1
    assert run_cohort(data_set, several, "--participant-label", "01") == 1
    assert run_cohort(data_set, several, "--participant-label", "02") == 0
    assert content(several) == content(one)
    (several / "sub-01/ses-b/anat/sub-01_ses-b_acq-T2w_desc-kmeans_dseg.json").unlink()
    assert run_cohort(data_set, several, "--participant-label", "02") == 0, "what others lack does not matter"


def test_unknown_bids_labels_are_refused(
    data_set: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (["--participant-label", "9"], "There is no scan of sub-9 to translate; there are those of 01, 02."),
        (["--session-label", "c"], "There is no scan of ses-c to translate; there are those of a, b."),
        (["--suffix", "PDw"], "no scan with the suffix PDw"),
    ):
        assert run_cohort(data_set, tmp_path / "out", *arguments) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_output_folder_of_another_data_set_is_refused(
    data_set: Path, run_cohort: CohortRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "dataset_description.json").write_text('{"Name": "x", "GeneratedBy": [{"Name": "fMRIPrep"}]}')
    assert run_cohort(data_set, other) == 2
    assert "holds another data set" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["dataset_description.json"]
