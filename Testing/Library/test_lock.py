"""constraints.txt: one version of everything that is installed for development, CI and the container."""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "constraints.txt").read_text()
PINS = [Requirement(line) for line in TEXT.splitlines() if re.match(r"\w", line)]
PYTHONS = ("3.10.0", "3.11.5", "3.12.1", "3.13.0", "3.14.0")
SYSTEMS = (
    ("linux", "Linux", "x86_64"),
    ("linux", "Linux", "aarch64"),
    ("darwin", "Darwin", "arm64"),
    ("win32", "Windows", "AMD64"),
)
INSTALLERS = ("Makefile", "Dockerfile", ".ci/*", ".github/workflows/*.yml")


def this_environment() -> dict[str, str]:
    return {key: str(value) for key, value in default_environment().items()}


def environments() -> Iterator[dict[str, str]]:
    """Each Python from 3.10 to 3.14 on each system, as markers see them."""
    for python, (platform, system, machine) in itertools.product(PYTHONS, SYSTEMS):
        environment = this_environment()
        environment["python_version"], environment["python_full_version"] = python.rpartition(".")[0], python
        environment["sys_platform"], environment["platform_system"] = platform, system
        environment["platform_machine"], environment["os_name"] = machine, "nt" if system == "Windows" else "posix"
        yield environment


def applies(requirement: Requirement, environment: Mapping[str, str], extra: str = "") -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate({**environment, "extra": extra})


def pins(name: str, environment: Mapping[str, str]) -> list[Requirement]:
    """The lines of the lock that count in an environment."""
    name = canonicalize_name(name)
    return [pin for pin in PINS if canonicalize_name(pin.name) == name and applies(pin, environment)]


def version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 reads no TOML")
def test_every_requirement_of_every_extra_has_one_fitting_version_on_every_python_and_system() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    listed += [each for extra in project["project"]["optional-dependencies"].values() for each in extra]
    requirements = [each for each in map(Requirement, listed) if each.name != project["project"]["name"]]
    assert len(requirements) > 30
    for environment in environments():
        for requirement in requirements:
            if applies(requirement, environment):
                (pin,) = pins(requirement.name, environment)
                assert requirement.specifier.contains(version(pin)), (str(requirement), str(pin))


def test_all_that_the_installed_packages_need_is_locked_too() -> None:
    """Followed from package to package, for this Python and system."""
    environment = this_environment()
    (torch,) = pins("torch", environment)
    if importlib.metadata.version("torch").partition("+")[0] != version(torch):
        pytest.skip("this environment has other versions than the lock")
    extras = importlib.metadata.metadata("LMIDiffusionLib").get_all("Provides-Extra") or []
    waiting = [("LMIDiffusionLib", extra) for extra in ("", *extras)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for requirement in map(Requirement, _requirements(name)):
            if applies(requirement, environment, extra):
                name_needed = canonicalize_name(requirement.name)
                assert name_needed == "lmidiffusionlib" or pins(name_needed, environment), (name, str(requirement))
                waiting += [(name_needed, each) for each in ("", *requirement.extras)]
    assert len(seen) > 80


def _requirements(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []  # of an extra that is not installed here


def commands() -> list[tuple[str, str]]:
    """Every command by which a package is installed, with its file."""
    found = []
    for path in sorted(each for pattern in INSTALLERS for each in ROOT.glob(pattern)):
        text = re.sub(r"\\\n", " ", path.read_text())
        lines = [part for line in text.splitlines() for part in re.split(r"&&|;|\|\|", line)]
        found += [
            (path.name, line.strip())
            for line in lines
            if re.search(r"\b(pip3?|pipx|conda|uv) (install|add|sync)", line)
        ]
    return found


def test_nothing_is_installed_without_the_lock() -> None:
    assert {name for name, _ in commands()} == {"Dockerfile", "release.yml", "slicer.yml"}
    for name, command in commands():
        words = shlex.split(command)
        assert words[words.index("--constraint") + 1].endswith(("constraints.txt", "but-numpy.txt")), (name, command)
        assert "/src" not in command.rpartition(" ")[2] or "--no-build-isolation" in words, "the build takes others"


def test_the_set_up_installs_nothing_without_the_lock(tmp_path: Path) -> None:
    """Call the script with a Python that can import nothing and writes down its arguments."""
    calls, python = tmp_path / "calls", tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 1\necho "$@" >> {shlex.quote(str(calls))}\n')
    python.chmod(0o755)
    code = f"""
import pathlib, set_up
python = pathlib.Path({str(python)!r})
set_up.install_torch(python)
set_up.install_library(python, "test")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tools", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    installed = calls.read_text().splitlines()
    assert len(installed) == 3
    for line in installed:
        assert f"--constraint {ROOT / 'constraints.txt'}" in line
    assert "--no-build-isolation" in installed[-1]


def test_the_lock_names_no_host() -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|@", TEXT)
