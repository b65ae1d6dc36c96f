"""The scripts behind Make: what they count, what they refuse, and what they say of a machine that lacks something."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools"

TESTS = """
import pytest

def test_that_passes():
    pass

@pytest.mark.parametrize("number", range(3))
def test_that_passes_three_times(number):
    pass

@pytest.mark.skipif(True, reason="Windows has no such signals")
def test_of_another_system():
    raise AssertionError
"""
LACKS_A_COMPILER = """
@pytest.mark.skipif(True, reason="needs a compiler; apt-get install gcc")
def test_that_needs_a_compiler():
    raise AssertionError
"""
LACKS_A_BROWSER = """
def test_that_needs_a_browser():
    pytest.skip("needs Chromium; apt-get install chromium")
"""
FAILS = """
def test_that_fails():
    assert 1 == 2

@pytest.fixture
def broken():
    raise OSError

def test_that_cannot_be_set_up(broken):
    pass
"""
DIES = """
def test_that_dies():
    import os
    os._exit(0)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tools, with tests of its own."""
    shutil.copytree(TOOLS, tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "Testing" / "Library").mkdir(parents=True)
    return tmp_path


def run(checkout: Path, tests: str, *, ci: bool = False) -> tuple[int, list[str]]:
    """Exit status and lines of a run of these tests."""
    (checkout / "Testing" / "Library" / "test_library.py").write_text(tests)
    environment = {**os.environ, "CI": "true" if ci else ""}
    command = [sys.executable, str(checkout / "tools" / "run_tests.py")]
    done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_the_last_line_counts_what_passed(checkout: Path) -> None:
    status, lines = run(checkout, TESTS)
    assert (status, lines[-1]) == (0, "4 passed; 1 for other systems")
    assert lines[-2] == "4 passed, 0 failed, 1 skipped"


def test_tests_left_out_are_counted_with_what_they_need(checkout: Path) -> None:
    status, lines = run(checkout, TESTS + LACKS_A_COMPILER + LACKS_A_BROWSER)
    assert status == 0
    assert lines[-1] == (
        "4 passed; left out: 1 of the library (Chromium; apt-get install chromium), "
        "1 of the library (a compiler; apt-get install gcc); 1 for other systems"
    )


def test_in_ci_what_is_left_out_is_a_failure_but_for_a_browser(checkout: Path) -> None:
    assert run(checkout, TESTS + LACKS_A_BROWSER, ci=True)[0] == 0
    status, lines = run(checkout, TESTS + LACKS_A_COMPILER, ci=True)
    assert status == 1
    assert any("no test may be left out" in line and "a compiler" in line for line in lines)


def test_failures_and_errors_are_counted_and_shown(checkout: Path) -> None:
    status, lines = run(checkout, TESTS + FAILS)
    assert (status, lines[-1]) == (1, "4 passed, 2 failed; 1 for other systems")
    assert any("assert 1 == 2" in line for line in lines)


def test_a_process_that_dies_is_a_failure_even_where_it_says_all_went_well(checkout: Path) -> None:
    status, lines = run(checkout, TESTS + DIES)
    assert (status, lines[-1]) == (1, "0 passed, 1 failed")


def test_tests_of_the_module_are_counted_where_slicers_libraries_cannot_be_loaded(checkout: Path) -> None:
    (checkout / "Testing" / "Module").mkdir()
    (checkout / "Testing" / "Module" / "test_panel.py").write_text("import nothing_of_the_kind\n" + TESTS)
    with (checkout / "tools" / "missing.py").open("a") as file:
        file.write('\nDRAWING_LIBRARIES = ("libNothing.so.1",)\n')
    status, lines = run(checkout, TESTS)
    assert status == 0
    assert re.fullmatch(
        r"4 passed; left out: 3 of the module \((libNothing|Slicer's).*install.*\); 1 for other .*", lines[-1]
    )


def test_the_packages_that_tests_ask_for_are_named_in_the_texts_and_installed_by_ci() -> None:
    code = "import missing; print(missing.apt_line('libegl1')); print(missing.apt_line('chromium'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=TOOLS, capture_output=True, text=True, check=True)
    drawing, browser = done.stdout.splitlines()
    assert drawing in (ROOT / "README.md").read_text() and "libdbus-1-3" in drawing
    assert browser == "apt-get install --no-install-recommends chromium"


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="only Debian has dpkg")
def test_ci_lists_the_packages_of_the_readme_that_are_missing(checkout: Path) -> None:
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    (checkout / "README.md").write_text(
        "`apt-get install dpkg no-such-thing1` and `apt-get install --yes other-thing2`"
    )
    done = subprocess.run([checkout / ".ci" / "packages"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["no-such-thing1", "other-thing2"]


@pytest.mark.parametrize(
    ("preparation", "words"),
    [
        ("sys.version_info = (3, 9, 2)", "Python 3.10 or newer is needed"),
        (
            "import importlib.util as util; find = util.find_spec\n"
            "util.find_spec = lambda name: None if name == 'ensurepip' else find(name)",
            "venv is missing",
        ),
    ],
    ids=["too old", "without venv"],
)
def test_a_python_that_cannot_make_environments_is_refused_with_the_apt_line(preparation: str, words: str) -> None:
    code = f"import sys\n{preparation}\nimport set_up\nset_up.check_python()"
    done = subprocess.run([sys.executable, "-c", code], cwd=TOOLS, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert words in line and "apt-get install python3 python3-venv" in line


def test_make_says_the_apt_line_where_there_is_no_python(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(["make", "demo", "PYTHON=no-such-python"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "apt-get install python3 python3-venv" in done.stdout
    assert list(tmp_path.glob(".venv*")) == []


def test_a_clone_is_smaller_than_the_extensions_index_allows() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    done = subprocess.run([sys.executable, TOOLS / "repository_size.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"A clone has \d+\.\d MiB of the 100", done.stdout)
