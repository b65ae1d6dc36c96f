"""Diagnoses of whole and of broken installations by `doctor`."""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from LMIDiffusionLib.commands import doctor
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.interface import resources
from LMIDiffusionLib.interface.checkpoint_header import METADATA_KEY, read_metadata
from LMIDiffusionLib.jobs.doctor import PURPOSES, Diagnosis, diagnose
from LMIDiffusionLib.model.checkpoint import Checkpoint, save_checkpoint

ROOT = Path(__file__).parents[3]


def rows(diagnosis: Diagnosis, section: str) -> dict[str, str]:
    return dict(diagnosis.sections[section])


@pytest.fixture
def own(tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of checkpoints, with one in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = resources.user_checkpoint_folder()
    folder.mkdir(parents=True)
    save_checkpoint(tiny_checkpoint, folder / "mine.safetensors")
    return folder


def test_doctor_reports_a_working_installation(own: Path) -> None:
    diagnosis = diagnose()
    assert diagnosis.problem == ""
    assert re.fullmatch(r"yes: one slice in [\d.]+ s on \w+", rows(diagnosis, "What works")["translate"])
    assert rows(diagnosis, "Packages")["nibabel"][0].isdigit()
    assert "threads" in rows(diagnosis, "Devices")["cpu"]
    checkpoints = rows(diagnosis, "Checkpoints")
    assert {*resources.bundled_checkpoints(), "mine"} < checkpoints.keys()
    assert checkpoints[resources.DEFAULT_CHECKPOINT].endswith("the default")
    checksum = hashlib.sha256((own / "mine.safetensors").read_bytes()).hexdigest()
    assert checkpoints["mine"] == f"T1w, 2 mm, readable, SHA-256 {checksum[:12]}..."


def test_a_missing_optional_package_is_named_with_its_remedy_and_translation_still_works(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "deepbet", None)
    diagnosis = diagnose()
    assert diagnosis.problem == ""
    assert rows(diagnosis, "Packages")["deepbet"] == "missing"
    works = rows(diagnosis, "What works")
    assert works["translate --find-brain"].startswith("no: deepbet cannot be loaded; in the checkout: pip install '.[b")
    assert works["translate-cohort"] == works["prepare, train, benchmark"] == "yes"


def test_doctor_reports_damaged_and_replaced_checkpoints(own: Path) -> None:
    whole = own / "mine.safetensors"
    content = whole.read_bytes()
    (own / "cut.safetensors").write_bytes(content[:-100])
    checksum = hashlib.sha256(content).hexdigest()
    offers = {"right.safetensors": checksum.upper(), "wrong.safetensors": "0" * 64}
    for name, expected in offers.items():
        metadata = {**read_metadata(whole), "download": {"address": f"https://host/{name}", "sha256": expected}}
        save_file(load_file(whole), own / f"offers-{name}", {METADATA_KEY: json.dumps(metadata)})
        shutil.copy(whole, own / name)
    checkpoints = rows(diagnose(), "Checkpoints")
    assert "cut.safetensors is damaged or truncated" in checkpoints["cut"]
    assert "SHA-256 as named" in checkpoints["right"]
    assert "is not the file that another checkpoint names" in checkpoints["wrong"]
    assert checkpoints["mine"].startswith("T1w, 2 mm, readable")


def test_doctor_reports_a_damaged_default_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(resources.resource("SampleData"), tmp_path / "SampleData")
    (tmp_path / "Checkpoints").mkdir()
    default = f"{resources.DEFAULT_CHECKPOINT}.safetensors"
    damaged = resources.resource("Checkpoints", default).read_bytes()[:1_000_000]
    (tmp_path / "Checkpoints" / default).write_bytes(damaged)
    monkeypatch.setattr(resources, "_CANDIDATES", (tmp_path,))
    with pytest.raises(UserError, match=r"Nothing can be translated here: .*damaged or truncated"):
        doctor.run(argparse.Namespace())
    shown = capsys.readouterr().out
    assert re.search(rf"{resources.DEFAULT_CHECKPOINT} +/.* is damaged or truncated", shown)
    assert re.search(r"translate +no: .*damaged or truncated", shown)


def test_doctor_without_pytorch_exits_with_status_2(own: Path) -> None:
    code = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from LMIDiffusionLib.cli import main
main(["doctor"])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    sentence = "torch cannot be loaded; in the checkout: pip install ."
    assert done.stderr == f"lmidiffusion: Nothing can be translated here: {sentence}\n"
    assert re.search(r"torch +missing\n", done.stdout)
    assert re.search(r"deepbet +broken: it needs torch, which is missing\n", done.stdout)
    assert re.search(r"demo +no: translate has to work first\n", done.stdout)
    assert re.search(r"mine +T1w, 2 mm, its header is readable", done.stdout)


def test_user_checkpoints_are_found_by_name_and_bundled_ones_come_first(own: Path) -> None:
    assert resources.checkpoint_path("mine") == own / "mine.safetensors"
    shutil.copy(own / "mine.safetensors", own / f"{resources.DEFAULT_CHECKPOINT}.safetensors")
    bundled = resources.bundled_checkpoints()[resources.DEFAULT_CHECKPOINT]
    assert resources.checkpoint_path(resources.DEFAULT_CHECKPOINT) == bundled


def test_doctor_checks_the_dependencies_of_pyproject() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    lists = dict(re.findall(r"^(dependencies|cohort|train|brain) = \[(.*?)\]$", project, re.MULTILINE | re.DOTALL))
    lists["train"] += lists["cohort"]
    installed = {name: set(re.findall(r'"([\w-]+)[>=]', text)) for name, text in lists.items()}
    assert {package for each in PURPOSES for package in each.packages} == set().union(*installed.values())
    for purpose in PURPOSES:
        extras = re.findall(r"\[(\w+)\]", purpose.remedy)
        assert set(purpose.packages) <= installed["dependencies"].union(*(installed[each] for each in extras))
