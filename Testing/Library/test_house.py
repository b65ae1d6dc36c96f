"""Structure of the code: packages, sizes of classes, and the changes that CONTRIBUTING shows. Imports: `make lint`."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "LMIDiffusionLib"
MODULE = ROOT / "LMIDiffusion" / "LMIDiffusionSlicer"
FILES = sorted(LIBRARY.rglob("*.py"))
# Forms, each field of which is a widget of the panel.
FORMS = {"LMIDiffusionParameterNode", "TranslationRequest"}
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def attributes(kind: ast.ClassDef) -> set[str]:
    fields = {
        each.target.id for each in kind.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    stored = {
        node.attr
        for node in ast.walk(kind)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    return fields | stored


@pytest.mark.parametrize("file", [*FILES, *sorted(MODULE.rglob("*.py"))], ids=lambda path: path.stem)
def test_no_class_has_more_than_ten_attributes(file: Path) -> None:
    for kind in ast.walk(ast.parse(file.read_text())):
        if isinstance(kind, ast.ClassDef) and kind.name not in FORMS:
            assert len(attributes(kind)) <= 10, kind.name


def test_no_folder_has_more_than_sixteen_modules() -> None:
    for folder in {path.parent for path in FILES}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 16, folder


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in FILES} - {LIBRARY, MODULE}), ids=lambda path: path.name
)
def test_every_package_says_what_lives_in_it(folder: Path) -> None:
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def test_the_picture_of_the_house_shows_every_package() -> None:
    (picture,) = re.findall(r"^```text\n(LMIDiffusion/.*?)^```$", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    shown = re.findall(r"^ *([A-Za-z_]+)/ ", picture, re.MULTILINE)
    folders = {path for root in (LIBRARY, MODULE) for path in root.iterdir() if path.is_dir()}
    packages = {path.name for path in folders if (path / "__init__.py").is_file()}
    roots = (ROOT, ROOT / "LMIDiffusion", ROOT / "Testing", LIBRARY, MODULE)
    assert packages <= set(shown) <= {path.name for root in roots for path in root.iterdir()}


def test_contributing_names_the_place_of_five_changes() -> None:
    rows = re.findall(r"^\| (.+?) \| \[?`([\w/.]+)`[^|]* \| `(\w+)` \|$", CONTRIBUTING, re.MULTILINE)
    assert len(rows) >= 5
    for change, file, name in rows:
        tree = ast.parse((ROOT / file).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        targets = (node.targets for node in tree.body if isinstance(node, ast.Assign))
        names |= {each.id for many in targets for each in many if isinstance(each, ast.Name)}
        typed = (node.target for node in tree.body if isinstance(node, ast.AnnAssign))
        names |= {each.id for each in typed if isinstance(each, ast.Name)}
        assert name in names, f"{change}: {file} has no {name}"


DIFFS = re.findall(r"^```diff\n(.*?)^```$", CONTRIBUTING, re.MULTILINE | re.DOTALL)
ONE_SLICE = ["--slices", "40:41", "--device", "cpu", "--overwrite"]


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "LMIDiffusionLib", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library with all that CONTRIBUTING shows how to add."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(LIBRARY, folder / "LMIDiffusionLib", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "LMIDiffusion").symlink_to(ROOT / "LMIDiffusion")
    for number, text in enumerate(DIFFS):
        (folder / f"{number}.diff").write_text(text)
        done = subprocess.run(
            ["git", "apply", "--recount", f"{number}.diff"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stderr}"
    return folder


def test_contributing_shows_additions_of_a_few_lines_to_one_file_each() -> None:
    assert len(DIFFS) >= 4
    for diff in DIFFS:
        assert len(re.findall(r"^\+\+\+ ", diff, re.MULTILINE)) == 1
        assert len(re.findall(r"^\+(?!\+\+)", diff, re.MULTILINE)) <= 12


def test_the_map_that_contributing_adds_can_be_trained_with(extended: Path) -> None:
    assert "inverse" in run(extended, "train", "--help")
    assert "negative" in run(extended, "benchmark", "quality", "--help")


def test_the_sampler_and_the_preset_that_contributing_adds_translate(extended: Path, tmp_path: Path) -> None:
    scan, output = str(ROOT / "LMIDiffusion/Resources/SampleData/sri24_PDw.nii.gz"), tmp_path / "out.nii.gz"
    run(extended, "translate", scan, str(output), "--quality", "draft", "--sampler", "euler", *ONE_SLICE)
    assert output.is_file()


def test_a_method_that_contributing_adds_is_scored(extended: Path, tmp_path: Path) -> None:
    data = ROOT / "LMIDiffusion/Resources/SampleData"
    (tmp_path / "pairs.csv").write_text(f"{data / 'sri24_PDw.nii.gz'},{data / 'sri24_T1w.nii.gz'}\n")
    options = ["--output", str(tmp_path / "out"), "--every", "50", "--device", "cpu", "--devices", "1"]
    tables = run(extended, "benchmark", "quality", str(tmp_path / "pairs.csv"), *options, "--methods", "negative")
    assert "| negative" in tables
