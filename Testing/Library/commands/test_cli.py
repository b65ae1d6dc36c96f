"""The commands as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from packaging.version import Version
from running import run_here

from LMIDiffusionLib.cli import COMMANDS, parser_for
from LMIDiffusionLib.images.volume import read_volume
from LMIDiffusionLib.interface.events import Error, ErrorKind, parse
from LMIDiffusionLib.interface.presets import PRESETS
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.model.checkpoint import KERNELS, Checkpoint, save_checkpoint
from LMIDiffusionLib.model.conditioning import MAPS
from LMIDiffusionLib.model.samplers import SAMPLERS
from LMIDiffusionLib.training.augmentation import AUGMENTATIONS

_SCAN = sample_scan("sri24_PDw")
_TISSUE = sample_scan("sri24_tissue")
_FAST = ["--slices", "36:38", "--quality", "fast", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint file: the commands, not the translation, are what is tested here."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(tiny_checkpoint, path)
    return path


def _command(arguments: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "LMIDiffusionLib", *map(str, arguments)]


def _run_alone(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as a shell does."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(_command(arguments), capture_output=True, text=True, check=False, env=environment)


def _load(path: Path) -> Any:
    return nib.load(path)


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_translate_writes_all_outputs_on_the_sources_grid_and_reports_tissue_volumes(
    tmp_path: Path, model: Path
) -> None:
    outputs = {name: tmp_path / f"{name}.nii.gz" for name in ("t1w", "labels", "error", "sample")}
    done = _run_alone(
        *("translate", _SCAN, outputs["t1w"], "--segmentation", outputs["labels"], "--mask", _TISSUE),
        *("--uncertainty", outputs["error"], "--sample", outputs["sample"], "--checkpoint", model, *_FAST),
    )
    assert done.returncode == 0, done.stderr
    assert _files(tmp_path) == {path.name for path in outputs.values()}
    source = _load(_SCAN)
    for path in outputs.values():
        image = _load(path)
        assert image.shape == source.shape
        np.testing.assert_array_equal(image.affine, source.affine)
        assert image.header["sform_code"] == source.header["sform_code"]
    assert _load(outputs["t1w"]).get_data_dtype() == np.float32
    labels = read_volume(outputs["labels"]).array
    np.testing.assert_array_equal(labels > 0, read_volume(_TISSUE).array > 0)
    for name in ("CSF", "gray matter", "white matter"):
        assert name in done.stdout
    voxels = np.count_nonzero(labels == 2)
    assert f"{voxels * 0.008:.1f} ml" in done.stdout
    assert "Expected error: 0." in done.stdout
    assert b"one sample, not the mean" in _load(outputs["sample"]).header["descrip"].item()


def test_events_are_json_lines_that_end_in_the_result(tmp_path: Path, model: Path) -> None:
    output, labels = tmp_path / "t1w.nii", tmp_path / "labels.nii"
    done = run_here(
        "translate",
        _SCAN,
        output,
        "--segmentation",
        labels,
        "--clusters",
        "3",
        "--events",
        "--checkpoint",
        model,
        *_FAST,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    stages = [event["stage"] for event in events if event["event"] == "stage"]
    assert stages == ["loading", "reading", "translating", "segmenting", "writing"]
    progress = [event for event in events if event["event"] == "progress"]
    assert progress[-1]["fraction"] == 1
    assert progress[0]["slices"] == 2
    assert events[-1]["event"] == "result"
    assert events[-1]["output"] == str(output)
    assert [each["name"] for each in events[-1]["classes"]] == ["Class 1", "Class 2", "Class 3"]


def test_info_describes_a_checkpoint(model: Path) -> None:
    done = run_here("info", model)
    assert done.returncode == 0
    for text in ("T1w", "pixel size", "CC0", "random weights", "training steps", "sigma_max"):
        assert text in done.stdout


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "inputs" / "volume.nii.gz"
    path.parent.mkdir()
    nib.save(_load(_SCAN), path)
    return path


def _save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 2, 2, 1]) if affine is None else affine), path)
    return path


def _bad_inputs(folder: Path, volume: Path, model: Path) -> dict[str, list[object]]:
    """Arguments of `translate` after which nothing may be written, by what is wrong with them."""
    array = np.random.default_rng(0).random((40, 40, 10)).astype(np.float32)
    text, truncated, pickle = folder / "text.nii", folder / "truncated.nii.gz", folder / "pickle.safetensors"
    text.write_text("no image")
    picture = folder / "picture.nii"
    picture.write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    truncated.write_bytes(volume.read_bytes()[:50_000])
    torch.save({"weights": torch.zeros(3)}, pickle)
    corrupt = folder / "corrupt.safetensors"
    corrupt.write_bytes(model.read_bytes()[:5000])
    holes = np.zeros_like(array)
    holes[5:35, 5:35, 1:9] = 1 + array[5:35, 5:35, 1:9]
    holes[15:25, 15:25, 3:7] = np.nan
    colors = np.zeros((20, 20, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    mask = _save(folder / "mask.nii.gz", np.eye(5, dtype=np.uint8)[..., None].repeat(5, 2))
    existing = _save(folder / "existing.nii.gz", array)
    output = folder / "new.nii.gz"
    return {
        "does not exist": [folder / "missing.nii.gz", output],
        "is a text file, not a scan; give a NIfTI, NRRD": [text, output],
        "is a JPEG picture, not a scan": [picture, output],
        "missing-mask.nii does not exist": [volume, output, "--mask", folder / "missing-mask.nii"],
        "dimensions (40, 40, 10, 2)": [_save(folder / "4d.nii.gz", np.stack([array, array], -1)), existing],
        "--clusters is used only with --segmentation or --volumes; add one": [volume, output, "--clusters", "3"],
        "an argument is empty; is a variable of the shell unset?": ["", output],
        "File name too long": ["x" * 5000, output],
        "damaged or truncated": [truncated, output],
        "colors": [_save(folder / "rgb.nii.gz", colors), output],
        "NaN or infinite": [_save(folder / "nan.nii.gz", holes), output],
        "same value in every voxel": [_save(folder / "constant.nii.gz", np.ones_like(array)), output],
        "too thin to slice": [_save(folder / "thin.nii.gz", array[:, :3]), output],
        "give a mask that was drawn on this scan": [volume, output, "--segmentation", folder / "s.nii", "--mask", mask],
        "There is no checkpoint": [volume, output, "--checkpoint", folder / "missing"],
        "is a pickle": [volume, output, "--checkpoint", pickle],
        "no LMIDiffusion checkpoint": [volume, output, "--checkpoint", corrupt],
        "There is no device": [volume, output, "--device", "quantum"],
        "no cuda device": [volume, output, "--device", "cuda"],
        "exists already": [volume, existing],
        "must end in .nii.gz or .nii": [volume, folder / "new.txt"],
        "of the output does not exist": [volume, folder / "nowhere" / "new.nii.gz"],
        "slice range 70:99 does not fit": [volume, output, "--slices", "70:99"],
        "no slice range": [volume, output, "--slices", "a:b"],
        "There is no sampler": [volume, output, "--sampler", "magic"],
        "The steps cannot be 0": [volume, output, "--steps", "0"],
        "must say so in its name": [volume, output, "--sample", folder / "sharp.nii.gz"],
        "must end in .nii.gz or .nii or .nrrd or .mha": [volume, output, "--sample", folder / "sample.mgz"],
        "Two of the given files are the same": [volume, output, "--segmentation", output],
        "--mask is used only with --segmentation or --volumes; add one of them.": [volume, output, "--mask", _TISSUE],
        "knows no 4 clusters": [volume, output, "--segmentation", folder / "s.nii", "--clusters", "4"],
        "leave out the mask or --clusters 5": [
            *(volume, output, "--mask", _TISSUE, "--segmentation", folder / "s.nii", "--clusters", "5")
        ],
    }


def test_every_bad_input_gets_one_sentence_and_exit_2_and_leaves_nothing(
    tmp_path: Path, volume: Path, model: Path
) -> None:
    cuda = torch.cuda.is_available()
    cases = {text: case for text, case in _bad_inputs(tmp_path, volume, model).items() if not (cuda and "cuda" in text)}
    before = {path: path.read_bytes() for path in tmp_path.glob("*.*")}
    for text, arguments in cases.items():
        done = run_here("translate", *arguments, *([] if "--checkpoint" in arguments else ["--checkpoint", model]))
        message = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 2, (text, done.stderr)
        assert text in message
        assert "Traceback" not in done.stderr
        assert {path: path.read_bytes() for path in tmp_path.glob("*.*")} == before, text


def test_errors_are_events_too(tmp_path: Path) -> None:
    done = _run_alone("translate", tmp_path / "missing.nii.gz", tmp_path / "new.nii.gz", "--events")
    assert done.returncode == 2
    event = parse(done.stdout.splitlines()[-1])
    assert isinstance(event, Error)
    assert event.kind is ErrorKind.BAD_INPUT
    assert done.stderr == f"lmidiffusion: {event.message}\n"


def test_an_existing_output_is_replaced_only_on_request(tmp_path: Path, volume: Path, model: Path) -> None:
    output = tmp_path / "out.nii.gz"
    output.write_text("precious")
    assert run_here("translate", volume, output, "--checkpoint", model, *_FAST).returncode == 2
    assert output.read_text() == "precious"
    assert run_here("translate", volume, output, "--overwrite", "--checkpoint", model, *_FAST).returncode == 0
    assert _load(output).shape == _load(volume).shape


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_the_translation_and_leaves_nothing(
    tmp_path: Path, model: Path, number: signal.Signals, status: int
) -> None:
    output = tmp_path / "out.nii.gz"
    command = _command(["translate", _SCAN, output, "--events", "--checkpoint", model, "--steps", "5000"])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    while "progress" not in process.stdout.readline():
        assert process.poll() is None
    start = time.monotonic()
    process.send_signal(number)
    process.stdout.read()
    assert process.wait(timeout=30) == status
    assert time.monotonic() - start < 30
    assert _files(tmp_path) == set()


def test_a_full_disk_leaves_neither_output_nor_temporary_file(tmp_path: Path, volume: Path, model: Path) -> None:
    code = (
        "import resource, signal, sys; from LMIDiffusionLib.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); main(sys.argv[1:])"
    )
    arguments = ["translate", str(volume), str(tmp_path / "out.nii.gz"), "--checkpoint", str(model), *_FAST]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr
    assert _files(tmp_path) == {"inputs"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_names_what_there_is_to_choose_from(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*name.split(), "--help"]
    with pytest.raises(SystemExit, match="0"):
        parser_for(words).parse_args(words)
    shown = capsys.readouterr().out
    assert COMMANDS[name].SUMMARY in " ".join(shown.split())
    assert "default: None" not in shown
    for choice in {"translate": [*SAMPLERS, *PRESETS], "train": [*MAPS, *KERNELS, *AUGMENTATIONS]}.get(name, []):
        assert choice in shown


def test_the_list_of_commands_does_not_import_torch() -> None:
    code = "import sys; from LMIDiffusionLib.cli import parser_for; parser_for([]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_translation_loads_no_more_than_it_needs(tmp_path: Path, volume: Path, model: Path) -> None:
    arguments = ["translate", str(volume), str(tmp_path / "out.nii.gz"), "--checkpoint", str(model), *_FAST]
    code = (
        "import atexit, sys; from LMIDiffusionLib.cli import main;"
        "atexit.register(lambda: print(*sorted(sys.modules))); main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "torch" in loaded
    slow = {"sklearn", "lightning", "matplotlib", "SimpleITK", "deepbet"}
    if Version(torch.__version__) >= Version("2.13"):  # older ones load their compiler with the first tensor
        slow |= {"torch._dynamo", "sympy"}
    assert not slow & set(loaded)


def test_the_library_imports_nothing_of_slicer() -> None:
    forbidden = ("slicer", "qt", "ctk", "vtk")
    library = Path(__file__).parents[3] / "LMIDiffusionLib"
    for path in library.rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] not in forbidden, path
