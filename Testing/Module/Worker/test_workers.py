"""The worker that is kept for the next translation: the same results, and no process where none should be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import conftest
import host
import pytest
import slicer
from conftest import PATIENCE, add_head, fast_options, package, start, wait_for_end, workers
from quick_process import QuickProcess


def _translate(logic: Any, volume: Any, **options: Any) -> Any:
    heard = wait_for_end(start(logic, volume, **options))
    assert heard.error is None
    return heard.result


def _voxels(result: Any) -> list[bytes]:
    labels = slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, "Segment_3", result.volume)
    return [slicer.util.arrayFromVolume(result.volume).tobytes(), labels.tobytes()]


def test_the_next_translation_has_the_same_process_and_the_same_result(
    module: Any, logic: Any, head: Any, fast: Any
) -> None:
    first = _voxels(_translate(logic, head, **fast))
    (process,) = workers()
    another_logic = sys.modules["LMIDiffusion"].LMIDiffusionLogic()
    other = _voxels(_translate(another_logic, add_head("other", landmark=(20, 24, 10)), **fast))
    again = _voxels(_translate(logic, head, **fast))
    assert workers() == [process]
    logic.endWorker()
    assert workers() == []
    assert again == first == _voxels(_translate(logic, head, **fast))
    assert workers() != [process]
    assert other != first


def test_two_runs_at_a_time_have_a_process_each_and_one_stays(module: Any, logic: Any, head: Any, fast: Any) -> None:
    heard = [start(each, head, **fast) for each in (logic, sys.modules["LMIDiffusion"].LMIDiffusionLogic())]
    host.waitUntil(lambda: len(workers()) == 2, PATIENCE)
    assert [wait_for_end(each).error for each in heard] == [None, None]
    assert len(workers()) == 1


def test_after_a_failure_the_process_is_kept_and_after_cancelling_or_a_crash_it_is_not(
    logic: Any, head: Any, fast: Any, checkpoint: Path
) -> None:
    heard = wait_for_end(start(logic, head, **fast_options(checkpoint, device="cuda:7")))
    assert "cuda:7" in str(heard.error)
    (process,) = workers()
    heard = start(logic, head, **fast)
    assert workers() == [process]
    logic.cancel()
    assert workers() == []
    _translate(logic, head, **fast)
    (second,) = workers()
    os.kill(second, signal.SIGKILL)
    host.waitUntil(lambda: logic._workers._idle.hasEnded, PATIENCE)
    _translate(logic, head, **fast)
    assert workers() not in ([], [process], [second])


class _Noted(QuickProcess):
    """Notes which processes there are."""

    alive: list[Any]

    def __init__(self, command: list[str], **options: Any):
        super().__init__(command, **options)
        self.alive.append(self)

    def terminate(self) -> None:
        super().terminate()
        if self in self.alive:
            self.alive.remove(self)


@pytest.fixture
def alive(logic: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Processes that are there, which answer at once."""
    kept = package("Worker.WorkerPool").WorkerPool(_Noted)
    monkeypatch.setattr(logic, "_workers", kept)
    monkeypatch.setattr(_Noted, "alive", [], raising=False)
    yield _Noted.alive
    kept.end()
    assert _Noted.alive == []


def _is_same(alive: list[Any], logic: Any, head: Any, fast: Any) -> bool:
    """Tell whether the process that was kept does the next translation."""
    (before,) = alive
    _translate(logic, head, **fast)
    (after,) = alive
    return before is after


def test_other_packages_or_another_environment_take_a_new_process(
    logic: Any, head: Any, fast: Any, alive: list[Any], monkeypatch: pytest.MonkeyPatch, launcher: Any
) -> None:
    _translate(logic, head, **fast)
    assert _is_same(alive, logic, head, fast)
    monkeypatch.setattr(package("Worker.WorkerPool"), "installedVersions", lambda: {"torch": "999"})
    assert not _is_same(alive, logic, head, fast)
    monkeypatch.setattr(package("Worker.WorkerPool"), "workerEnvironment", lambda: {"PYTHONPATH": "elsewhere"})
    assert not _is_same(alive, logic, head, fast)
    launcher("another Python")
    assert not _is_same(alive, logic, head, fast)
    assert _is_same(alive, logic, head, fast)


def test_installed_versions_are_those_of_all_that_a_translation_imports(module: Any) -> None:
    versions = package("Base.Dependencies").installedVersions()
    names = {requirement.partition(">")[0] for requirement in versions}
    assert {"torch", "numpy", "scipy", "nibabel", "safetensors", "deepbet"} <= names
    assert versions["torch>=2.6"]


def test_a_process_that_has_waited_too_long_gets_no_request(
    logic: Any, head: Any, fast: Any, alive: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _translate(logic, head, **fast)
    clock = time.monotonic
    monkeypatch.setattr(package("Worker.WorkerPool").time, "monotonic", lambda: clock() + 580)
    assert _is_same(alive, logic, head, fast)
    monkeypatch.setattr(package("Worker.WorkerPool").time, "monotonic", lambda: clock() + 1180)
    assert not _is_same(alive, logic, head, fast)


def test_a_process_that_has_used_a_gpu_gives_way_to_a_new_one_at_once(
    logic: Any, head: Any, fast: Any, alive: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuickProcess, "holds_gpu", True)
    heard = start(logic, head, **fast)
    (used,) = alive
    assert wait_for_end(heard).error is None
    assert len(alive) == 1 and used not in alive
    monkeypatch.setattr(QuickProcess, "holds_gpu", False)
    assert _is_same(alive, logic, head, fast)


def test_the_output_of_a_failed_worker_is_in_the_details(logic: Any, head: Any, fast: Any, launcher: Any) -> None:
    error = '{"event": "error", "kind": "internal", "place": "", "text": "Something unexpected happened."}'
    end = '{"event": "ended", "number": 0, "holds_gpu": false}'
    launcher(f"echo Traceback >&2; echo '{error}'; echo '{end}'; exec sleep 1000")
    heard = wait_for_end(start(logic, head, **fast))
    assert str(heard.error) == "Something unexpected happened."
    assert "Traceback" in heard.error.details


_SESSION = """
import sys
sys.path[:0] = [{host!r}, {tests!r}]
import conftest, host, os, signal, slicer
module = host.loadModule(str(conftest.MODULE_FILE))
slicer.app.temporaryPath = {folder!r}
options = conftest.fast_options({checkpoint!r})
heard = conftest.wait_for_end(conftest.start(module.widget.logic, conftest.add_head("head"), **options))
assert heard.error is None
print(*conftest.workers(), flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["host.quit()", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_the_kept_process_ends_with_the_application_however_that_ends(
    end: str, fast: Any, temporary_folder: Path
) -> None:
    script = _SESSION.format(
        host=str(conftest.ROOT / "Testing" / "SlicerHost"),
        tests=str(Path(conftest.__file__).parent),
        folder=str(temporary_folder),
        checkpoint=fast["checkpoint"],
        end=end,
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    (process,) = done.stdout.splitlines()[-1].split()
    host.waitUntil(lambda: not Path(f"/proc/{process}").exists(), PATIENCE)


def test_the_kept_process_ends_when_the_module_is_loaded_again(module: Any, logic: Any, head: Any, fast: Any) -> None:
    """The last test: what the others hold of the module is of the old code."""
    _translate(logic, head, **fast)
    assert len(workers()) == 1
    module.widget.onReload()
    assert workers() == []
