"""The shape of the code: what imports what, how long and how deep it is, and how little a newcomer has to touch."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "LMIDiffusionLib"
FILES = {path.relative_to(LIBRARY).as_posix(): ast.parse(path.read_text()) for path in sorted(LIBRARY.rglob("*.py"))}
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try)


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All of a module but what type checkers alone see."""
    for child in ast.iter_child_nodes(tree):
        yield child
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from nodes(child)


def imported(file: str) -> set[str]:
    """Files of the library that one imports, be it as it is loaded or later."""
    found = set()
    for statement in nodes(FILES[file]):
        if isinstance(statement, ast.ImportFrom) and statement.level:
            folder = Path(file).parents[statement.level - 1]
            target = folder / (statement.module or "").replace(".", "/")
            names = [target, *(target / alias.name for alias in statement.names)]
            found |= {f"{name.as_posix()}{end}" for name in names for end in (".py", "/__init__.py")} & FILES.keys()
    return found


def test_imports_make_no_circle() -> None:
    try:
        order = list(TopologicalSorter({file: imported(file) for file in FILES}).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {error.args[1]}")
    assert order.index("lmi/__init__.py") < order.index("model/conditioning.py") < order.index("cli.py")


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def lines(function: ast.FunctionDef) -> int:
    """Without the docstring."""
    first = function.body[0]
    has_text = ast.get_docstring(function) is not None
    text = (first.end_lineno or 0) - first.lineno + 1 if has_text else 0
    return (function.end_lineno or 0) - function.lineno + 1 - text


def depth(node: ast.AST) -> int:
    """Blocks within blocks; an elif is no deeper than its if."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            continue
        is_elif = isinstance(node, ast.If) and [child] == node.orelse
        deepest = max(deepest, depth(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


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


@pytest.mark.parametrize("file", FILES)
def test_functions_are_short_and_flat_and_classes_light(file: str) -> None:
    for function in functions(FILES[file]):
        assert lines(function) <= 40, function.name
        assert depth(function) <= 3, function.name
    for kind in ast.walk(FILES[file]):
        if isinstance(kind, ast.ClassDef):
            assert len(attributes(kind)) <= 10, kind.name


DIFFS = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
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
