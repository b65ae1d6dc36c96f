"""`python tools/soak.py [RUNS]`: translate one slice 60 times in the panel, cancelling every third run.

Ends with exit code 1 if nodes, files, processes, threads or open files have become more. Linux only: it reads /proc.
"""

import os
import sys
import tempfile
from dataclasses import astuple, dataclass, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Module"))

from conftest import MODULE_FILE, add_head, make_checkpoint, workers  # starts the host

import host  # isort: skip
import slicer  # isort: skip

_RUNS = 60
_CANCEL_EVERY = 3
_PATIENCE = 600.0  # in seconds; the machine may be busy with other things
# Texts of the panel in their order; runs are cancelled at each in turn, or after one that was too short.
_MOMENTS = ("Starting", "Reading", "Loading", "Translating")
# Qt and VTK make a few threads and files of their own at first use.
_WARM_UP_RUNS = 2 * _CANCEL_EVERY


@dataclass(frozen=True)
class Census:
    """Counts that must not grow."""

    nodes: int
    files: int
    processes: int
    threads: int
    descriptors: int

    @classmethod
    def take(cls, folder: Path) -> "Census":
        host.processEvents(0.2)
        return cls(
            nodes=slicer.mrmlScene.GetNumberOfNodes(),
            files=sum(1 for _ in folder.rglob("*")),
            processes=len(workers()),
            threads=len(os.listdir("/proc/self/task")),
            descriptors=len(os.listdir("/proc/self/fd")),
        )

    def growth_since(self, before: "Census") -> list[str]:
        pairs = zip(fields(self), astuple(before), astuple(self), strict=True)
        return [f"{field.name}: {old} -> {new}" for field, old, new in pairs if new > old]


def main(runs: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "temporary"
        folder.mkdir()
        slicer.app.temporaryPath = str(folder)
        module = host.loadModule(str(MODULE_FILE))
        module.widgetRepresentation().enter()
        panel = module.widget
        view = host.view2D("Red")  # the preview translates the slice that it shows
        view.node.SetSliceOffset(0)
        _choose(panel, make_checkpoint(Path(name)))
        before = None
        for number in range(_WARM_UP_RUNS + runs):
            if number == _WARM_UP_RUNS:
                before = Census.take(folder)
            outcome = _run(panel, number)
            print(f"{number + 1:3d} {outcome:9s} {Census.take(folder)}", flush=True)
        after = Census.take(folder)
        problems = after.growth_since(before) + [str(error) for error in host.slotErrors()]
        print("\n".join(problems) or f"{runs} runs: nothing has grown")
        return 1 if problems else 0


def _choose(panel, checkpoint: Path) -> None:
    node = panel.panel.parameterNode
    node.sourceVolume = add_head("head")
    node.useCheckpointFile, node.checkpointFile = True, checkpoint
    # Enough steps that the panel is seen to be translating.
    node.steps, node.samples, node.device = 50, 1, "cpu"


def _run(panel, number: int) -> str:
    ui = panel.ui
    ui.previewButton.click()
    cancelled, turn = number % _CANCEL_EVERY == _CANCEL_EVERY - 1, number // _CANCEL_EVERY
    if cancelled:
        due = _MOMENTS[turn % len(_MOMENTS) :]
        host.waitUntil(lambda: ui.statusLabel.text.startswith(due), _PATIENCE)
        ui.translateButton.click()
    host.waitUntil(lambda: ui.translateButton.text == "Translate", _PATIENCE)
    text = ui.statusLabel.text
    if ("cancelled" if cancelled else "Done") not in text:
        raise RuntimeError(f"run {number + 1} ended with: {text}")
    return "cancelled" if cancelled else "done"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else _RUNS))
