"""Devices that PyTorch can compute on, found out by a child process."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass

from slicer.i18n import tr as _

from .. import LIBRARY_FOLDER
from ..Base.Paths import pythonCommand, workerEnvironment
from ..Base.Presets import AUTOMATIC
from .WorkerProcess import WorkerProcess

_PROBE = """
import json, torch
gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
print(json.dumps({"cuda": [[gpu.name, gpu.total_memory] for gpu in gpus], "mps": torch.backends.mps.is_available()}))
"""


@dataclass(frozen=True)
class Device:
    """A device: its name for the library's command, and its label for people."""

    name: str
    label: str


def basicDevices() -> list[Device]:
    """Return the devices of every computer."""
    return [Device(AUTOMATIC, _("Automatic")), Device("cpu", _("CPU"))]


class DeviceProbe:
    """Finds the devices; `onFound` is called with all of them, or never where PyTorch cannot tell."""

    def __init__(self, onFound: Callable[[list[Device]], None]):
        self._onFound = onFound
        self._worker = WorkerProcess(
            [pythonCommand(), "-c", _PROBE],
            environment=workerEnvironment(),
            folder=LIBRARY_FOLDER,
            onLine=self._onLine,
            onExit=lambda code: None,
        )

    @staticmethod
    def isPossible() -> bool:
        return importlib.util.find_spec("torch") is not None

    def stop(self) -> None:
        self._worker.terminate()

    def _onLine(self, stream: str, text: str) -> None:
        devices = parseDevices(text) if stream == "stdout" else None
        if devices is not None:
            self._onFound(devices)


def parseDevices(text: str) -> list[Device] | None:
    """Read devices from the probe's line; None where the line is something else."""
    try:
        found = json.loads(text)
        gpus = [
            Device(f"cuda:{index}", f"{name} ({memory / 2**30:.0f} GB)")
            for index, (name, memory) in enumerate(found["cuda"])
        ]
        mps = [Device("mps", _("Apple GPU (MPS)"))] if found["mps"] else []
    except (ValueError, TypeError, LookupError):
        return None
    automatic, cpu = basicDevices()
    return [automatic, *gpus, *mps, cpu]
