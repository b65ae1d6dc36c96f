"""Fixtures of the module's tests: the host, the module in it, small volumes, a tiny checkpoint, fake launchers."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "SlicerHost"), str(ROOT / "tools"), str(ROOT)]
# Two-core machines run these tests beside other things.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import missing

if lack := missing.of_slicer():
    pytest.exit(f"These tests need {lack}.", returncode=pytest.ExitCode.USAGE_ERROR)

import host

host.start()

import dialogs
import slicer

MODULE_FILE = ROOT / "LMIDiffusion" / "LMIDiffusion.py"
HEAD_SHAPE = (40, 48, 20)
HEAD_SPACING = 2.0
PATIENCE = 300.0  # seconds; a busy machine can stand still for long


@pytest.fixture(scope="session")
def module() -> Any:
    """The module in the host, its panel built and shown."""
    loaded = host.loadModule(str(MODULE_FILE))
    loaded.widgetRepresentation().enter()
    return loaded


@pytest.fixture(scope="session", autouse=True)
def slice_views(module: Any) -> list[Any]:
    """The slice views of Slicer's standard layouts; kept, as they are in the application."""
    return [host.view2D("Red"), host.view2D("Yellow", "Sagittal")]


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path) -> Path:
    """Slicer's temporary folder, a fresh one for each test."""
    folder = tmp_path / "slicer temporary"
    folder.mkdir()
    slicer.app.temporaryPath = str(folder)
    return folder


@pytest.fixture(autouse=True)
def clean_end(module: Any, temporary_folder: Path) -> Iterator[None]:
    """An empty scene before; after it no exception in a slot, no run, no process and no file left, no PyTorch."""
    slicer.app.userSettings().clear()
    slicer.mrmlScene.Clear(0)
    host.slotErrors().clear()
    yield
    slicer.app.temporaryPath = str(temporary_folder)
    was_running, unused = running(), dialogs.unusedAnswers()
    dialogs.clear()
    module.widget.logic.cancel()
    slicer.modules.LMIDiffusionWidget.logic.endWorker()
    assert host.slotErrors() == []
    assert unused == [], "a dialog was expected that did not come"
    assert not was_running, "the test left a translation running"
    assert run_folders(temporary_folder) == []
    assert workers() == []
    assert "torch" not in sys.modules


@pytest.fixture
def widget(module: Any) -> Any:
    """The panel, as it is for a new user."""
    return module.widget


def choose_fastest(widget: Any, checkpoint: Path) -> Any:
    """The panel's parameter node, with the tiny checkpoint, no outputs and the fastest settings."""
    node = widget.panel.parameterNode
    node.useCheckpointFile, node.checkpointFile = True, checkpoint
    node.brainMask = node.outputVolume = node.outputSegmentation = None
    node.resultVolume = node.resultSegmentation = node.previewVolume = node.previewSegmentation = None
    node.steps, node.samples, node.device = 2, 1, "cpu"
    node.uncertainty = node.draw = node.limitSlices = node.findBrain = node.allFrames = False
    return node


def add_result(node: Any, source: Any) -> Any:
    """Show a volume as if it were the translation of the source."""
    result = add_head("translated")
    result.SetNodeReferenceID(package("Scene.Results").SOURCE_ROLE, source.GetID())
    node.resultVolume = result
    return result


@pytest.fixture
def ui(widget: Any) -> Any:
    return widget.ui


@pytest.fixture
def logic(module: Any) -> Any:
    return module.widget.logic


@pytest.fixture
def messages(widget: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All messages that the panel shows, also those that the next has replaced at once."""
    shown: list[str] = []
    show = widget.panel.run.showMessage
    monkeypatch.setattr(widget.panel.run, "showMessage", lambda text: shown.append(text) or show(text))
    return shown


def package(name: str) -> Any:
    """A module of LMIDiffusionSlicer by folder and name, as it is loaded now: Reload makes a new one."""
    return sys.modules[f"LMIDiffusionSlicer.{name}"]


def running() -> bool:
    """Tell whether the panel's logic is at work."""
    return slicer.modules.LMIDiffusionWidget.logic.isRunning


def run_folders(temporary_folder: Path) -> list[Path]:
    return list(temporary_folder.glob("LMIDiffusion-*"))


_MARK = "LMIDIFFUSION_TEST"
os.environ[_MARK] = str(os.getpid())


def workers() -> list[int]:
    """Processes that run the library's command or a fake launcher, started by this test process.

    A child has the command of its parent until it runs its own; such copies are left out.
    """
    found: dict[int, tuple[int, list[bytes]]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        is_worker = b"serve" in command or any(part.endswith(b"PythonSlicer") for part in command)
        if is_worker and f"{_MARK}={os.getpid()}".encode() in environment:
            found[int(folder.name)] = parent, command
    return [
        process for process, (parent, command) in found.items() if parent not in found or found[parent][1] != command
    ]


# A tiny checkpoint that has been made already; who runs many files of tests names it here, as each would make its own.
MADE_CHECKPOINT = "LMIDIFFUSION_TEST_CHECKPOINT"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, made = tmp_path_factory.mktemp("checkpoint"), os.environ.get(MADE_CHECKPOINT)
    return Path(shutil.copy(made, folder)) if made else make_checkpoint(folder)


def make_checkpoint(folder: Path) -> Path:
    """A tiny untrained checkpoint."""
    path = folder / "tiny.safetensors"
    command = [sys.executable, str(Path(__file__).with_name("make_checkpoint.py")), str(path)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return path


def offering(checkpoint: Path, address: str, checksum: str) -> bytes:
    """Content of a checkpoint whose header names another file to download."""
    content = checkpoint.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    metadata = json.loads(header["__metadata__"]["lmidiffusion"])
    metadata["download"] = {"address": address, "sha256": checksum}
    header["__metadata__"]["lmidiffusion"] = json.dumps(metadata)
    changed = json.dumps(header).encode()
    return struct.pack("<Q", len(changed)) + changed + content[8 + size :]


@pytest.fixture
def fast(checkpoint: Path) -> dict[str, Any]:
    """Options of a translation as fast as it gets."""
    return fast_options(checkpoint)


def fast_options(checkpoint: Path, **changes: Any) -> dict[str, Any]:
    return {"checkpoint": str(checkpoint), "steps": 2, "samples": 1, "device": "cpu", **changes}


def head_array(*, landmark: tuple[int, int, int] | None = None) -> np.ndarray:
    """A head of nested ellipsoids, voxels in IJK order, with a bright block at a landmark if given."""
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in HEAD_SHAPE), indexing="ij")
    distance = np.sqrt(sum((axis / radius) ** 2 for axis, radius in zip(axes, (0.8, 0.85, 0.9), strict=True)))
    head = np.select([distance < 0.5, distance < 0.8, distance < 1], [1100.0, 800.0, 300.0], 0.0)
    head += (distance < 1) * 60 * np.sin(7 * axes[0] + 3 * axes[1]) * np.cos(5 * axes[2])
    if landmark is not None:
        i, j, k = landmark
        head[i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2] = 2500
    return head.astype(np.float32)


@pytest.fixture
def head() -> Any:
    """A small head in the scene, in right-anterior-superior order."""
    return add_head("head")


def add_head(name: str, **options: Any) -> Any:
    affine = np.diag([HEAD_SPACING] * 3 + [1.0])
    affine[:3, 3] = [-39, -47, -19]
    return slicer.util.addVolumeFromArray(head_array(**options).transpose(2, 1, 0), affine, name)


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a shell script named PythonSlicer first on the path, where the module looks for Slicer's Python."""

    def install(script: str) -> Path:
        folder = tmp_path / "launcher"
        folder.mkdir(exist_ok=True)
        path = folder / "PythonSlicer"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return path

    return install


def node_ids() -> set[str]:
    scene = slicer.mrmlScene
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def start(logic: Any, volume: Any, *, onProgress: Any = None, **options: Any) -> SimpleNamespace:
    """Start a translation and collect what it reports."""
    heard = SimpleNamespace(progress=[], result=None, error=None, log=[])
    heard.run = logic.startTranslation(
        [package("Scene.Request").TranslationRequest(volume, **options)],
        onProgress=onProgress or heard.progress.append,
        onFinished=lambda outcomes: vars(heard).update(result=outcomes[0].result, error=outcomes[0].error),
        onCancelled=lambda error: setattr(heard, "error", error),
        onLog=heard.log.append,
    )
    return heard


def wait_for_end(heard: SimpleNamespace) -> SimpleNamespace:
    host.waitUntil(lambda: not heard.run.isActive, PATIENCE)
    return heard
