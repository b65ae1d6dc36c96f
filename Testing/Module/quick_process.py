"""A process that takes the worker's place where a test is about the panel: it answers at once, and needs no PyTorch."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import qt
from conftest import package

from LMIDiffusionLib.interface import events

_MILLISECONDS = 20


@contextlib.contextmanager
def quick_runs(logic: Any) -> Iterator[None]:
    """Meanwhile the logic's runs end at once."""
    workers = package("Worker.WorkerPool").WorkerPool(QuickProcess)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logic, "_workers", workers)
        yield
    workers.end()


class QuickProcess:
    """Writes the files that the real command would write, the volume being its source in [0, 1].

    It is started as `WorkerProcess` is, and speaks the same language.
    """

    holds_gpu = False

    def __init__(
        self,
        command: list[str],
        *,
        environment: dict[str, str],
        folder: Path,
        onLine: Callable[[str, str], None],
        onExit: Callable[[int], None],
    ):
        self._steps: list[Callable[[], str]] = []
        self._onLine = onLine
        self._timer = qt.QTimer(qt.QApplication.instance())
        self._timer.setInterval(_MILLISECONDS)
        self._timer.connect("timeout()", self._onTimer)
        self._timer.start()

    def send(self, line: str) -> None:
        request = json.loads(line)
        self._steps += _steps(request["number"], request["job"], holds_gpu=self.holds_gpu)

    def _onTimer(self) -> None:
        if self._steps:
            self._onLine("stdout", self._steps.pop(0)())

    def terminate(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.deleteLater()
            self._timer = None


def _steps(number: int, job: dict[str, Any], *, holds_gpu: bool) -> list[Callable[[], str]]:
    stages = [lambda stage=stage: events.to_line(stage) for stage in events.Stage]
    progress = events.Progress(slice=3, slices=20, step=1, steps=2, fraction=0.25, seconds_left=30.0)
    stages.insert(3, lambda: events.to_line(progress))
    return [
        lambda: events.to_line(events.JobStarted(number)),
        *stages,
        lambda: events.to_line(_translate(job)),
        lambda: events.to_line(events.JobEnded(number, holds_gpu)),
    ]


def _translate(job: dict[str, Any]) -> events.Event:
    image = nib.load(job["source"])
    array = np.asarray(image.dataobj, np.float32)
    array = array / array.max()
    first, stop = job["options"]["slices"] or (0, array.shape[2])
    array[:, :, [index for index in range(array.shape[2]) if not first <= index < stop]] = 0
    drawn = job["drawn"]
    files = {job["output"]: array, drawn["uncertainty"]: array / 9, drawn["sample"]: array / 2}
    count = 3 if "mask" in job else job["clusters"]
    labels = 1 + np.minimum((array * count).astype(np.uint8), count - 1)
    files[job["segmentation"]] = labels
    for name, content in files.items():
        if name is not None:
            nib.save(nib.Nifti1Image(content, image.affine), name)
    names = ["CSF", "gray matter", "white matter"] if "mask" in job else [f"Class {n + 1}" for n in range(count)]
    classes = [events.ClassVolume(n, name, float((labels == n).sum()) * 0.008) for n, name in enumerate(names, 1)]
    return events.Result(Path(job["output"]), None, None, tuple(classes), 1.0)
