"""The wheel: installed alone, away from the checkout, it translates the bundled scan."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from LMIDiffusionLib.images.volume import read_volume

ROOT = Path(__file__).parents[2]


def run(*command: object, folder: Path) -> str:
    """Run a command that sees nothing of the checkout, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="needs hatchling; pip install '.[test]'")
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        ROOT,
        folder=folder,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_library_its_checkpoints_and_its_scans_alone(wheel: Path) -> None:
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    library = [*(ROOT / "LMIDiffusionLib").rglob("*.py"), ROOT / "LMIDiffusionLib" / "py.typed"]
    resources = [
        each for name in ("Checkpoints", "SampleData") for each in (ROOT / "LMIDiffusion/Resources" / name).iterdir()
    ]
    expected = {path.relative_to(ROOT).as_posix() for path in library}
    expected |= {f"LMIDiffusionLib/Resources/{path.parent.name}/{path.name}" for path in resources}
    assert found >= expected
    assert {name for name in found - expected if not name.endswith("CMakeLists.txt")} == set()


def test_the_wheel_in_an_environment_of_its_own_translates_the_bundled_scan(wheel: Path, tmp_path: Path) -> None:
    """The packages that it needs are those of this environment, for which none has to be downloaded again."""
    venv.create(tmp_path / "empty", with_pip=True)
    programs = tmp_path / "empty" / ("Scripts" if os.name == "nt" else "bin")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(run(programs / "python", "-c", code, folder=tmp_path).strip())
    (own / "packages.pth").write_text("\n".join(site.getsitepackages()))
    run(
        programs / "python",
        "-m",
        "pip",
        "install",
        "--no-index",
        "--no-deps",
        "--force-reinstall",
        wheel,
        folder=tmp_path,
    )
    place = run(programs / "python", "-c", "import LMIDiffusionLib; print(LMIDiffusionLib.__file__)", folder=tmp_path)
    assert Path(place.strip()).is_relative_to(own)
    code = "from LMIDiffusionLib.interface.resources import resource; print(resource('SampleData', 'sri24_PDw.nii.gz'))"
    scan = Path(run(programs / "python", "-c", code, folder=tmp_path).strip())
    assert scan.is_relative_to(own)
    options = ("--quality", "fast", "--slices", "40:44", "--device", "cpu")
    run(programs / "lmidiffusion", "translate", scan, tmp_path / "t1w.nii.gz", *options, folder=tmp_path)
    source, result = read_volume(scan), read_volume(tmp_path / "t1w.nii.gz")
    np.testing.assert_array_equal(result.affine, source.affine)
    assert result.array.shape == source.array.shape
    assert result.array.std() > 0
