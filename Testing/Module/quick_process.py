"""A process that takes the worker's place where a test is about the panel: it answers at once, and needs no PyTorch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import qt

from LMIDiffusionLib import events

_MILLISECONDS = 20


class QuickProcess:
    """Writes the files that the real command would write, the volume being its source in [0, 1].

    It is started as `WorkerProcess` is, and speaks the same language.
    """

    def __init__(
        self,
        command: list[str],
        *,
        environment: dict[str, str],
        folder: Path,
        onLine: Callable[[str, str], None],
        onExit: Callable[[int], None],
    ):
        jobs = json.loads(Path(command[-1]).read_text(encoding="utf-8"))
        self._steps = [step for number, arguments in enumerate(jobs) for step in _steps(number, arguments)]
        self._onLine, self._onExit = onLine, onExit
        self._timer = qt.QTimer(qt.QApplication.instance())
        self._timer.setInterval(_MILLISECONDS)
        self._timer.connect("timeout()", self._onTimer)
        self._timer.start()

    def _onTimer(self) -> None:
        if self._steps:
            self._onLine("stdout", self._steps.pop(0)())
        else:
            self.terminate()
            self._onExit(0)

    def terminate(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.deleteLater()
            self._timer = None


def _steps(number: int, arguments: list[str]) -> list[Callable[[], str]]:
    stages = [lambda stage=stage: events.to_line(stage) for stage in events.Stage]
    progress = events.Progress(slice=3, slices=20, step=1, steps=2, fraction=0.25, seconds_left=30.0)
    stages.insert(3, lambda: events.to_line(progress))
    return [
        lambda: json.dumps({"event": "job", "number": number}),
        *stages,
        lambda: events.to_line(_translate(arguments)),
    ]


def _option(arguments: list[str], name: str) -> Any:
    return arguments[arguments.index(name) + 1] if name in arguments else None


def _translate(arguments: list[str]) -> events.Event:
    image = nib.load(arguments[1])
    array = np.asarray(image.dataobj, np.float32)
    array = array / array.max()
    first, stop = map(int, (_option(arguments, "--slices") or f"0:{array.shape[2]}").split(":"))
    array[:, :, [index for index in range(array.shape[2]) if not first <= index < stop]] = 0
    files = {arguments[2]: array, _option(arguments, "--uncertainty"): array / 9}
    count = 3 if "--mask" in arguments else int(_option(arguments, "--clusters"))
    labels = 1 + np.minimum((array * count).astype(np.uint8), count - 1)
    files[_option(arguments, "--segmentation")] = labels
    for name, content in files.items():
        if name is not None:
            nib.save(nib.Nifti1Image(content, image.affine), name)
    names = (
        ["CSF", "grey matter", "white matter"] if "--mask" in arguments else [f"Class {n + 1}" for n in range(count)]
    )
    classes = [events.ClassVolume(n, name, float((labels == n).sum()) * 0.008) for n, name in enumerate(names, 1)]
    return events.Result(Path(arguments[2]), None, None, tuple(classes), 1.0)
