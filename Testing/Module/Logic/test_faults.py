"""Whatever goes wrong: one sentence for the user, and no process, file or half-made node left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conftest
import host
import pytest
import slicer
from conftest import (
    PATIENCE,
    add_head,
    fast_options,
    node_ids,
    package,
    run_folders,
    running,
    start,
    wait_for_end,
    workers,
)

from LMIDiffusionLib.interface.resources import user_checkpoint_folder

Launcher = Callable[[str], Path]
# It waits for its child, which has its standard input; a shell would lead that of a child beside it nowhere.
_LAUNCHER = f'exec 3<&0; "{sys.executable}" "$@" <&3 & wait'


def _is_cancelled(error: Exception | None) -> bool:
    return type(error).__name__ == "TranslationCancelled"


def _started(heard: Any) -> bool:
    """The real Python is at work, past its start."""
    return any(progress.stage for progress in heard.progress)


@pytest.mark.parametrize("stage", ["", "reading", "loading", "translating", "segmenting", "writing"])
def test_cancel_at_every_stage_leaves_nothing(
    stage: str, logic: Any, head: Any, fast: Any, temporary_folder: Path
) -> None:
    before = node_ids()

    def cancel_at_stage(progress: Any) -> None:
        if (progress.stage.value if progress.stage else "") == stage:
            logic.cancel()

    heard = start(logic, head, **fast, onProgress=cancel_at_stage)
    if stage == "":
        logic.cancel()
    wait_for_end(heard)
    assert _is_cancelled(heard.error)
    assert heard.result is None
    assert node_ids() == before
    assert run_folders(temporary_folder) == []
    assert workers() == []


def test_deleting_the_input_ends_the_run(logic: Any, head: Any, fast: Any) -> None:
    heard = start(logic, head, **fast)
    host.waitUntil(lambda: _started(heard), PATIENCE)
    slicer.mrmlScene.RemoveNode(head)
    assert _is_cancelled(heard.error)
    assert "deleted" in str(heard.error)
    assert workers() == []


def test_deleting_another_node_does_not_end_the_run(logic: Any, head: Any, fast: Any) -> None:
    other = add_head("other")
    heard = start(logic, head, **fast)
    slicer.mrmlScene.RemoveNode(other)
    assert wait_for_end(heard).error is None


def test_closing_the_scene_ends_the_run(logic: Any, head: Any, fast: Any) -> None:
    heard = start(logic, head, **fast)
    host.waitUntil(lambda: _started(heard), PATIENCE)
    slicer.mrmlScene.Clear(0)
    assert _is_cancelled(heard.error)
    assert "scene" in str(heard.error)
    assert workers() == []


def test_an_output_that_was_deleted_meanwhile_is_made_anew(logic: Any, head: Any, fast: Any) -> None:
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "chosen")
    heard = start(logic, head, **fast, outputVolume=output)
    slicer.mrmlScene.RemoveNode(output)
    assert wait_for_end(heard).result.volume.GetScene() is slicer.mrmlScene


def test_a_killed_worker_is_reported(logic: Any, head: Any, fast: Any) -> None:
    before = node_ids()
    heard = start(logic, head, **fast)
    host.waitUntil(lambda: _started(heard), PATIENCE)
    for process in workers():
        os.kill(process, signal.SIGKILL)
    wait_for_end(heard)
    assert "ended from outside" in str(heard.error)
    assert node_ids() == before


def test_killing_the_launcher_ends_the_python_that_it_started(
    logic: Any, head: Any, fast: Any, launcher: Launcher
) -> None:
    launcher(_LAUNCHER)
    heard = start(logic, head, **fast)
    host.waitUntil(lambda: _started(heard), PATIENCE)
    assert len(workers()) >= 2
    leader = next(process for process in workers() if os.getpgid(process) == process)
    os.kill(leader, signal.SIGKILL)
    wait_for_end(heard)
    assert workers() == []


def test_cancel_ends_the_python_behind_a_launcher(logic: Any, head: Any, fast: Any, launcher: Launcher) -> None:
    launcher(_LAUNCHER)
    heard = start(logic, head, **fast)
    host.waitUntil(lambda: _started(heard), PATIENCE)
    logic.cancel()
    assert _is_cancelled(heard.error)
    assert workers() == []


def test_cancel_ends_a_worker_that_ignores_the_polite_signal(
    logic: Any, head: Any, fast: Any, launcher: Launcher
) -> None:
    launcher("trap '' TERM; echo deaf; while true; do sleep 0.1; done")
    heard = start(logic, head, **fast)
    host.waitUntil(lambda: "deaf" in heard.log, PATIENCE)
    logic.cancel()
    assert workers() == []


_GARBAGE = [
    "head -c 300000 /dev/urandom",
    'echo \'{"event": "progress"}\'; echo \'{"event": "result", "classes": 7}\'; echo \'[1, 2]\'; echo 42; echo null',
    'echo \'{"event": "progress", "slice": "x", "slices": 1, "fraction": NaN, "seconds_left": {}}\'',
    "yes nonsense | head -n 40000",
]


@pytest.mark.parametrize("garbage", _GARBAGE)
def test_a_worker_that_prints_garbage_is_reported_as_one_without_a_result(
    garbage: str, logic: Any, head: Any, fast: Any, launcher: Launcher
) -> None:
    launcher(garbage)
    heard = wait_for_end(start(logic, head, **fast))
    assert str(heard.error) == "The worker process ended without a result."


def test_a_result_that_was_announced_but_not_written_is_reported(
    logic: Any, head: Any, fast: Any, launcher: Launcher
) -> None:
    before = node_ids()
    result = '"output": "volume.nii", "segmentation": null, "uncertainty": null, "classes": [], "seconds": 1'
    launcher(f'echo \'{{"event": "result", {result}}}\'')
    heard = wait_for_end(start(logic, head, **fast))
    assert "missing or cannot be read" in str(heard.error)
    assert node_ids() == before


def test_a_crash_is_reported_in_a_sentence_with_the_log_as_details(
    logic: Any, head: Any, fast: Any, launcher: Launcher
) -> None:
    launcher("echo Traceback >&2; echo 'ImportError: DLL load failed' >&2; exit 1")
    error = wait_for_end(start(logic, head, **fast)).error
    assert str(error) == "The worker process failed: ImportError: DLL load failed"
    assert "Traceback" in error.details


def test_too_little_memory_says_what_to_change(logic: Any, head: Any, fast: Any, launcher: Launcher) -> None:
    message = "The cuda device has too little memory for one slice; free some or choose --device cpu."
    launcher(f'echo \'{{"event": "error", "kind": "out-of-memory", "place": "", "text": "{message}"}}\'; exit 2')
    error = wait_for_end(start(logic, head, **fast)).error
    assert "smaller batch size" in str(error)
    assert "--device" not in str(error)
    assert message in error.details


def test_a_full_disk_in_the_worker_is_reported(logic: Any, head: Any, fast: Any, launcher: Launcher) -> None:
    before = node_ids()
    launcher(f'ulimit -f 20; exec "{sys.executable}" "$@"')
    error = wait_for_end(start(logic, head, **fast)).error
    assert "cannot be written" in str(error) or "ended from outside" in str(error)
    assert node_ids() == before


def test_an_unwritable_temporary_folder_is_reported_at_once(logic: Any, head: Any, fast: Any, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.touch()
    slicer.app.temporaryPath = str(file)
    with pytest.raises(package("Base.Errors").TranslationError, match=r"temporary folder .* cannot be written"):
        logic.translate(head, **fast)
    assert not running()


def test_a_worker_that_cannot_be_started_leaves_nothing(
    logic: Any, head: Any, fast: Any, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "PythonSlicer"
    fake.write_bytes(b"\x7fELF no program")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(package("Base.Errors").TranslationError, match="could not be started"):
        logic.translate(head, **fast)
    assert run_folders(temporary_folder) == []
    assert not running()


def test_a_missing_checkpoint_is_named(logic: Any, head: Any, tmp_path: Path) -> None:
    with pytest.raises(package("Base.Errors").TranslationError, match=r"no checkpoint .*gone\.safetensors"):
        logic.translate(head, **fast_options(tmp_path / "gone.safetensors"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle", b"\xff" * 100, b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_corrupt_checkpoint_is_refused_before_anything_starts(
    content: bytes, logic: Any, head: Any, tmp_path: Path
) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        package("Base.Errors").TranslationError,
        match=r"no LMIDiffusion checkpoint|is a pickle|another program|is damaged",
    ):
        logic.translate(head, **fast_options(path))


def test_a_checkpoint_with_damaged_weights_is_reported_by_the_worker(
    logic: Any, head: Any, checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(checkpoint.read_bytes()[:-1000])
    error = wait_for_end(start(logic, head, **fast_options(path))).error
    assert "cut.safetensors" in str(error)
    assert "truncated" in str(error)


def test_a_device_that_is_not_there_is_reported(logic: Any, head: Any, checkpoint: Path) -> None:
    error = wait_for_end(start(logic, head, **fast_options(checkpoint, device="cuda:7"))).error
    assert "cuda:7" in str(error)


def test_a_second_run_is_refused_while_one_runs(logic: Any, head: Any, fast: Any) -> None:
    heard = start(logic, head, **fast)
    with pytest.raises(package("Base.Errors").TranslationError, match="running already"):
        logic.translate(head, **fast)
    assert wait_for_end(heard).error is None


def test_missing_packages_are_named_and_not_installed_by_the_logic(
    logic: Any, head: Any, fast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package("Base.Dependencies"), "TORCH", "torch>=999")
    with pytest.raises(package("Base.Errors").TranslationError, match="torch>=999"):
        logic.translate(head, **fast)


def test_a_non_ascii_user_folder_serves_all(
    logic: Any, head: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "Zoë Żółć 脳"
    monkeypatch.setenv("HOME", str(home))
    folder = user_checkpoint_folder()
    folder.mkdir(parents=True)
    (folder / "größe.safetensors").write_bytes(checkpoint.read_bytes())
    temporary = home / "vorübergehend ٣"
    temporary.mkdir()
    slicer.app.temporaryPath = str(temporary)
    heard = wait_for_end(start(logic, head, **fast_options(Path("größe"))))
    assert heard.error is None
    assert list(temporary.iterdir()) == []


def test_quitting_ends_the_run(logic: Any, head: Any, fast: Any, temporary_folder: Path) -> None:
    """In a host of its own, as it cannot be used after quitting."""
    script = f"""
import sys
sys.path[:0] = [{str(conftest.ROOT / "Testing" / "SlicerHost")!r}, {str(Path(conftest.__file__).parent)!r}]
import conftest, host, slicer
from pathlib import Path
module = host.loadModule(str(conftest.MODULE_FILE))
slicer.app.temporaryPath = {str(temporary_folder)!r}
options = conftest.fast_options(Path({fast["checkpoint"]!r}))
heard = conftest.start(module.widget.logic, conftest.add_head("head"), **options)
host.waitUntil(lambda: any(each.stage for each in heard.progress), 120)
host.quit()
print(type(heard.error).__name__, conftest.workers())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["TranslationCancelled []"], done.stderr


def test_the_event_loop_stays_alive_while_it_runs(logic: Any, head: Any, fast: Any) -> None:
    heard = start(logic, head, **fast)
    longest, last = 0.0, time.monotonic()
    while heard.run.isActive:
        host.processEvents(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < 1.0
    assert heard.error is None
