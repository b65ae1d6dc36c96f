"""README and manual against the product: commands run, options exist, links lead somewhere."""

import csv
import doctest
import inspect
import itertools
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest

import LMIDiffusionLib as lmi
from LMIDiffusionLib.cli import COMMANDS, main, parser_for
from LMIDiffusionLib.jobs.demo import sample_scan

ROOT = Path(__file__).parents[2]
# Scripts of an environment that README's lines have made (tools/follow_pages.py); else pages are followed right here.
_INSTALLED = Path(os.environ["LMIDIFFUSION_SCRIPTS"]) if "LMIDIFFUSION_SCRIPTS" in os.environ else None
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Options with which commands that take hours end in seconds; the last of two equal options counts.
_SHORTER = {
    "train": "--steps 4 --steps-per-epoch 2 --batch-size 2 --channels 8 16 --pixel-size 4 --held-out 1 --devices 1",
    "benchmark quality": "--every 4 --devices 1",
    "translate-cohort": "--devices 1 --quality fast",
}

_SHORTER_PYTHON = {
    "import DataOptions, FitOptions": "import DataOptions, FitOptions, ModelOptions",
    "held_out=1)": "held_out=1, pixel_size=4.0), model=ModelOptions(channels=(8, 16))",
    "steps=20_000": "steps=2, steps_per_epoch=1, batch_size=2, devices='1'",
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every fenced block."""
    return _FENCE.findall(page.read_text())


def is_script(text: str) -> bool:
    """True for a block that is a file for a scheduler, not commands to type."""
    return text.startswith("#!")


def commands(language: str, text: str) -> list[str]:
    """The commands of a block: all of its lines, or in a session those behind a prompt."""
    lines = text.replace("\\\n", " ").splitlines()
    if language == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def own_arguments(line: str) -> list[str] | None:
    """Return the arguments of `lmidiffusion` on a line, with variables as 1; None if the line does not call it."""
    words = shlex.split(re.sub(r"\$\{?\w+\}?", "1", line), comments=True)
    if words[:1] == ["docker"]:  # an image of that name
        return None
    for number, word in enumerate(words):
        if word == "lmidiffusion" or words[number : number + 2] == ["-m", "LMIDiffusionLib"]:
            return [each for each in words[number + 1 + (word == "-m") :] if each != "..."]
    return None


CALLS = sorted(
    {
        (page.relative_to(ROOT).as_posix(), line)
        for page in PAGES
        for language, text in blocks(page)
        if language in ("", "bash", "console")
        for line in commands(language, text)
        if own_arguments(line) is not None
    }
)


@pytest.mark.parametrize(("page", "line"), CALLS)
def test_every_command_that_a_page_shows_is_understood(page: str, line: str) -> None:
    words = own_arguments(line)
    assert words
    parser_for(words).parse_args(words)


def test_the_manual_shows_every_command() -> None:
    shown = {" ".join(own_arguments(line) or []) for _, line in CALLS}
    for name in COMMANDS:
        assert any(each.startswith(name) for each in shown), name


def test_the_readme_is_short_and_warns_at_its_top() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= 80
    assert any("not for diagnosis" in line for line in lines[:6])


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built manual; a warning, such as of a dead link, fails."""
    folder = tmp_path_factory.mktemp("manual")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout + done.stderr == ""
    return folder


def test_pictures_of_the_start_page_are_there_and_a_click_enlarges_them(manual: Path) -> None:
    start = (manual / "index.html").read_text()
    pictures = re.findall(r'<img [^>]*src="([^"]+)"', start)
    assert "demo.webp" in pictures and all((manual / picture).is_file() for picture in pictures)
    assert '<a href="demo.webp"><img' in start


def test_the_api_page_describes_translate(manual: Path) -> None:
    assert re.search(r'id="LMIDiffusionLib\.translation\.\w+\.translate"', (manual / "api.html").read_text())


def test_examples_of_the_api_page_give_what_they_show() -> None:
    failed, tried = doctest.testfile(str(ROOT / "docs" / "api.md"), module_relative=False)
    assert failed == 0 and tried > 10


def test_the_manual_loads_nothing_from_elsewhere(manual: Path) -> None:
    for page in manual.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|link rel="stylesheet")[^>]* (?:src|href)="([^"]+)"', page.read_text())
        elsewhere = [address for address in loaded if "//" in address and not address.startswith("data:")]
        assert loaded and not elsewhere, page


def test_the_search_of_the_manual_works_in_a_folder_without_a_server(
    manual: Path, browser: str, tmp_path: Path
) -> None:
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom")
    address = f"{(manual / 'index.html').as_uri()}?q=deepbet"
    command = [browser, *options, f"--user-data-dir={tmp_path}", address]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True).stdout
    assert re.search(r"\d+ matching documents?", shown)


def test_figures_of_the_manual_are_small_and_each_is_shown() -> None:
    figures = list((ROOT / "docs" / "figures").iterdir())
    text = (ROOT / "docs" / "method.md").read_text()
    assert {path.name for path in figures} == set(re.findall(r"\(figures/(\S+)\)", text))
    assert sum(path.stat().st_size for path in figures) < 300_000


def test_the_api_page_has_every_public_name() -> None:
    named = re.findall(r"^::: LMIDiffusionLib\.([\w.]+)\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert {name: home for home, name in named} == lmi._HOMES


def test_the_table_of_the_api_page_has_the_first_line_of_every_public_docstring() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    assert [*table] == lmi.__all__
    lines = {name: str(inspect.getdoc(getattr(lmi, name))).splitlines()[0] for name in table if name != "PRESETS"}
    assert lines == {name: line for name, line in table.items() if name != "PRESETS"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, which is the home too, with what the pages start from: small scans of several kinds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main sets its own
    for name in ("flair", "pdw", "brain"):
        _thick(sample_scan("sri24_tissue" if name == "brain" else "sri24_PDw"), tmp_path / f"{name}.nii.gz")
    yield tmp_path
    logging.disable(logging.NOTSET)


def _add_data_set(place: Path, *suffixes: str) -> None:
    """A BIDS data set of one person, with a scan for each suffix."""
    anatomy = place / "bids" / "sub-01" / "anat"
    anatomy.mkdir(parents=True)
    for suffix in suffixes:
        shutil.copy(place / "flair.nii.gz", anatomy / f"sub-01_{suffix}.nii.gz")
    description = {"Name": "study", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (place / "bids" / "dataset_description.json").write_text(json.dumps(description))


def _thick(scan: Path, path: Path) -> None:
    """A scan with every fifth slice alone, which is as large a head and less work."""
    volume = lmi.read_volume(scan)
    affine = volume.affine @ np.diag([1, 1, 5, 1])
    nib.save(nib.Nifti1Image(volume.array[..., ::5].astype(np.int16), affine), path)


def _run(line: str) -> None:
    """One command of a page, as far as it can be run here: shortened, or looked at where it would install."""
    words = shlex.split(line, comments=True)
    if words[0] == "lmidiffusion":
        name = next(each for each in COMMANDS if words[1 : 2 + each.count(" ")] == each.split())
        _run_own([*words[1:], *_SHORTER.get(name, "").split()])
    elif words[:2] == ["git", "clone"] or "venv" in words:
        subprocess.run(["bash", "-n"], input=line, text=True, check=True)
    elif words[:2] == ["pip", "install"]:
        extras = re.findall(r"[\w]+", "".join(re.findall(r"\[(.*)\]", words[2])))
        if _INSTALLED and extras:
            wanted = f"{ROOT}[{','.join(extras)}]"
            subprocess.run([_INSTALLED / "python", "-m", "pip", "install", "--quiet", wanted], check=True)
        assert all(re.search(rf"^{each} = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE) for each in extras)
    elif words[0] == "torchrun":
        assert own_arguments(line)
    elif words[0] == "make":
        subprocess.run([*words, "--dry-run", "--directory", str(ROOT)], check=True, capture_output=True)
    else:
        subprocess.run(["bash", "-ec", line], check=True)


def _run_own(arguments: list[str]) -> None:
    """Run the command line here, or the one that the README's lines have installed."""
    if _INSTALLED:
        subprocess.run([_INSTALLED / "lmidiffusion", *arguments], check=True)
        return
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0, arguments


def _run_python(text: str, name: str) -> None:
    """Run lines of Python here, or in the environment that the README's lines have made."""
    if _INSTALLED:
        subprocess.run([_INSTALLED / "python", "-c", text], check=True)
    else:
        exec(compile(text, name, "exec"), {"__name__": "__main__"})


def _follow(page: Path, *, again: bool = False) -> None:
    """Do all that a page says, in its order, but for what a cluster does, and but for long runs if it is done again."""
    for line in re.findall(r"`(pip install [^`]+)`", page.read_text()):  # said in the text, not in a block
        _run(line)
    for language, text in blocks(page):
        if language == "python":
            for written, shorter in _SHORTER_PYTHON.items():
                text = text.replace(written, shorter)
            _run_python(text, str(page))
        elif language in ("bash", "console") and not is_script(text):
            for line in commands(language, text):
                if not again or not re.match(r"lmidiffusion (train|benchmark)\b(?!-)", line):
                    _run(line)


def _follow_twice(page: Path) -> None:
    """Follow a tutorial, and again on another day; trainings and scores are kept until someone removes them."""
    _follow(page)
    _follow(page, again=True)


def test_commands_of_the_readme_run(place: Path) -> None:
    _add_data_set(place, "FLAIR")
    _follow(README)
    written = {path.name for path in place.glob("*.nii.gz")}
    assert written >= {"t1w.nii.gz", "tissues.nii.gz", "translated.nii.gz"}
    assert set(np.unique(lmi.read_volume("tissues.nii.gz").array)) == {0, 1, 2, 3}


def test_examples_of_the_python_page_run(place: Path) -> None:
    _add_training_scans(place / "scans")
    _follow(ROOT / "docs" / "python.md")
    assert lmi.load_checkpoint(place / "runs" / "t2w" / "checkpoint.safetensors").modality == "T2w"


def _add_training_scans(folder: Path) -> None:
    """Three balls with a shell, of 4 mm voxels, and masks of two of them."""
    folder.mkdir()
    axes = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in (36, 44, 20)), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    affine = np.diag([4.0, 4, 4, 1])
    for number, name in enumerate(("anna", "ben", "cleo")):
        noise = np.random.default_rng(number).normal(0, 20, radius.shape)
        head = np.where(radius < 1, np.where(radius < 0.7, 800, 400) + noise, 0).astype(np.int16)
        nib.save(nib.Nifti1Image(head, affine), folder / f"{name}_T2w.nii.gz")
        if number:
            nib.save(
                nib.Nifti1Image((radius < 0.7).astype(np.uint8), np.diag([4.0, 4, 4, 1])),
                folder / f"{name}_mask.nii.gz",
            )


def test_a_modality_of_ones_own_can_be_trained_as_the_tutorial_says(place: Path) -> None:
    _add_training_scans(place / "scans")
    (place / "pairs.csv").write_text("source,target\npdw.nii.gz,flair.nii.gz\n")
    _follow_twice(ROOT / "docs" / "tutorials" / "modality.md")
    assert lmi.load_checkpoint("my-t2w").provenance.license == "CC BY 4.0"
    assert "target-to-itself" in (place / "scores" / "tables.md").read_text()
    assert lmi.read_volume("t2w.nii.gz").array.shape == lmi.read_volume("pdw.nii.gz").array.shape


def _sample_of_pages(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundled scan that the pages start from; here one with fewer slices takes its place."""
    if _INSTALLED:
        return sample_scan("sri24_PDw")
    monkeypatch.setattr("LMIDiffusionLib.jobs.demo.sample_scan", lambda name: place / "pdw.nii.gz")
    return place / "pdw.nii.gz"


def test_a_dicom_folder_becomes_a_table_of_volumes_as_the_tutorial_says(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs" / "tutorials" / "dicom.md"
    sample = _sample_of_pages(place, monkeypatch)
    _follow_twice(page)
    shown = _without_numbers(capfd.readouterr().out)
    printed, table = (text for language, text in blocks(page) if language == "text")
    assert _without_numbers(printed) <= shown
    assert _without_numbers(table) == _without_numbers((place / "volumes.csv").read_text())
    translation, source = lmi.read_volume("t1w.nii.gz"), lmi.read_volume(sample)
    assert _corners(translation) == _corners(source)
    with (place / "volumes.csv").open() as file:
        volumes = {row["name"]: float(row["milliliters"]) for row in csv.DictReader(file)}
    assert 300 < volumes["gray matter"] < 1000
    assert (place / "check.png").stat().st_size > 10_000


def _corners(volume: lmi.Volume) -> set[tuple[float, ...]]:
    """Return the eight corners in millimeters, in an order that does not depend on that of the voxels."""
    ends = itertools.product(*((0, length - 1) for length in volume.array.shape))
    return {tuple((volume.affine @ [*each, 1]).round(2)) for each in ends}


def _without_numbers(text: str) -> set[str]:
    return {re.sub(r"[\d.]+", "#", line) for line in text.splitlines()}


def test_every_cell_of_the_notebook_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = _sample_of_pages(place, monkeypatch)
    matplotlib.use("Agg")
    cells = json.loads((ROOT / "docs" / "tutorials" / "notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    _run_python("\n".join(code), "notebook")
    plt.close("all")
    with (place / "volumes.csv").open() as file:
        assert [row[1] for row in csv.reader(file)] == ["CSF", "gray matter", "white matter"]
    assert _corners(lmi.read_volume("tissues.nii.gz")) == _corners(lmi.read_volume(sample))


def test_a_cohort_is_translated_as_the_tutorial_says(place: Path) -> None:
    (place / "scans").mkdir()
    for name in ("anna_T2w", "anna_T1w", "ben_T2w", "ben_T1w"):
        shutil.copy(place / "pdw.nii.gz", place / "scans" / f"{name}.nii.gz")
    _add_data_set(place, "FLAIR", "T2w")
    _follow_twice(ROOT / "docs" / "tutorials" / "cluster.md")
    assert len([*(place / "translated").rglob("*.nii.gz")]) == 4
    assert [path.name for path in (place / "derivatives").rglob("*_dseg.nii.gz")]
    assert (place / "runs" / "t1w" / "checkpoint.safetensors").is_file()


SCRIPTS = [text for page in TUTORIALS for _, text in blocks(page) if is_script(text)]


def test_scripts_for_schedulers_are_shell_and_agree_with_the_processes_that_they_ask_for() -> None:
    assert len(SCRIPTS) == 3
    for text in SCRIPTS:
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        cores = "--cpus-per-task" in text and "\nsrun " in text
        assert not cores or "SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK" in text, "srun does not take them over"
        asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", text, re.MULTILINE))
        (words,) = (found for line in commands("bash", text) if (found := own_arguments(line)))
        parsed = parser_for(words).parse_args(words)
        assert int(asked.get("nodes", 1)) == parsed.nodes
        assert int(asked.get("ntasks-per-node", 1)) == int(parsed.devices)
        assert asked.get("gpus-per-node", asked.get("ntasks-per-node")) == asked.get("ntasks-per-node")
