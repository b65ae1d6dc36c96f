"""`python tools/click_to_result.py [PREVIEWS]`: how long *Translate current slice* takes, from click to result.

Clicks it a few times on the bundled scan with the bundled checkpoint, and prints for each the seconds that passed, and
those that Slicer and the worker computed: on a busy computer, more pass. Linux only: it reads /proc.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Module"))

from conftest import MODULE_FILE, workers  # starts the host

import host  # isort: skip
import slicer  # isort: skip

_PREVIEWS = 5
_PATIENCE = 600.0
_TICK = os.sysconf("SC_CLK_TCK")


def main(previews: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        slicer.app.temporaryPath = name
        module = host.loadModule(str(MODULE_FILE))
        module.widgetRepresentation().enter()
        view = host.view2D("Red")
        ui = module.widget.ui
        ui.sampleButton.click()
        bounds = [0.0] * 6
        module.widget.panel.parameterNode.sourceVolume.GetRASBounds(bounds)
        view.node.SetSliceOffset((bounds[4] + bounds[5]) / 2)
        print("preview  passed [s]  Slicer computed [s]  worker computed [s]")
        for number in range(previews):
            before, start = time.process_time(), time.monotonic()
            worker = _computed()
            ui.previewButton.click()
            host.waitUntil(lambda: ui.translateButton.text == "Translate", _PATIENCE)
            passed, slicerComputed = time.monotonic() - start, time.process_time() - before
            if not ui.statusLabel.text.startswith("Done"):
                raise SystemExit(ui.statusLabel.text)
            print(f"{number + 1:7d}  {passed:10.2f}  {slicerComputed:19.2f}  {_computed() - worker:19.2f}", flush=True)
        module.widget.logic.endWorker()


def _computed() -> float:
    """Seconds that the worker has computed so far."""
    stats = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in workers()]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / _TICK


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _PREVIEWS)
