"""`python tools/screenshot.py FOLDER`: the panel beside the slice and 3D views, at every step of a translation.

Clicks through the job on the bundled scan with the bundled checkpoint, and draws FOLDER/1-first-run.png to
8-error.png.
"""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing" / "SlicerHost"), str(ROOT)]

import host

host.start()

import qt
import slicer

_PANEL_WIDTH, _VIEW_SIDE = 470, 400
_PATIENCE = 3600


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    host.showViews((_VIEW_SIDE, _VIEW_SIDE))
    module = host.loadModule(ROOT / "LMIDiffusion" / "LMIDiffusion.py")
    panel = module.widgetRepresentation()
    panel.enter()
    ui = panel.self().ui
    ui.sampleButton.click()
    host.view2D().fit()
    draw(panel, folder / "1-first-run.png")
    ui.qualityComboBox.currentText = "Fast"
    ui.advancedCollapsibleButton.collapsed = False
    draw(panel, folder / "2-advanced.png")
    ui.advancedCollapsibleButton.collapsed = True
    draw_translation(panel, ui, folder)
    draw_side_by_side(panel, ui, folder / "5-side-by-side.png")
    draw_several(ui, folder / "6-several.png")
    draw_sequence(panel, ui, folder / "7-sequence.png")
    draw_error(panel, ui, folder / "8-error.png")
    if host.slotErrors():
        raise SystemExit("Something went wrong in the panel; see the messages above.")
    host.quit()


def draw_translation(panel, ui, folder: Path) -> None:
    ui.translateButton.click()
    host.waitUntil(lambda: ui.progressBar.value > 30, _PATIENCE)
    draw(panel, folder / "3-running.png")
    wait(ui)
    ui.show3DButton.click()
    host.view3D().fit()
    draw(panel, folder / "4-result.png")


def draw_side_by_side(panel, ui, path: Path) -> None:
    ui.viewModeComboBox.currentText = "Side by side"
    draw(panel, path, views=(host.view2D("Red"), host.view2D("Yellow")))
    ui.viewModeComboBox.currentText = "Blended"


def draw_several(ui, path: Path) -> None:
    """The dialog by itself."""
    other = slicer.util.getNode("SRI24 PDw")
    slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, other, "follow-up")

    def answer(dialog) -> int:
        volumes = dialog.findChild(qt.QListWidget)
        for row in range(2):
            volumes.item(row).setCheckState(qt.Qt.Checked)
        dialog.resize(420, 220)
        dialog.grab().save(str(path))
        return int(qt.QDialog.Rejected)

    host.answerNext(answer)
    ui.severalButton.click()


def draw_sequence(panel, ui, path: Path) -> None:
    """Two frames, the second of which is brighter."""
    sample = slicer.util.getNode("SRI24 PDw")
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "PDw series")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for number in range(2):
        frame = slicer.vtkMRMLScalarVolumeNode()
        slicer.util.updateVolumeFromArray(frame, slicer.util.arrayFromVolume(sample) * (1 + number))
        frame.CopyOrientation(sample)
        sequence.SetDataNodeAtValue(frame, str(2.5 * number))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "series")
    browser.AddSynchronizedSequenceNode(sequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    ui.brainMaskSelector.setCurrentNode(None)
    ui.sourceVolumeSelector.setCurrentNode(browser.GetProxyNode(sequence))
    ui.allFramesCheckBox.checked = True
    ui.translateButton.click()
    wait(ui)
    draw(panel, path)


def draw_error(panel, ui, path: Path) -> None:
    """A Python that cannot load PyTorch, in Slicer's place."""
    ui.allFramesCheckBox.checked = False
    with tempfile.TemporaryDirectory() as folder:
        launcher = Path(folder, "PythonSlicer")
        launcher.write_text("#!/bin/sh\necho 'OSError: [WinError 1114] c10.dll could not be loaded' >&2\nexit 1\n")
        launcher.chmod(0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
        ui.translateButton.click()
        wait(ui)
        os.environ["PATH"] = before
    ui.detailsButton.click()
    draw(panel, path, views=())


def wait(ui) -> None:
    host.waitUntil(lambda: ui.translateButton.text == "Translate", _PATIENCE)


def draw(panel, path: Path, *, views=None) -> None:
    """The panel at its full height, and the views beside it."""
    views = (host.view2D(), host.view3D()) if views is None else views
    panel.setFixedWidth(_PANEL_WIDTH)
    panel.show()
    host.processEvents(0.3)
    panel.resize(_PANEL_WIDTH, max(panel.sizeHint().height(), 2 * _VIEW_SIDE))
    host.processEvents(0.3)
    sheet = qt.QPixmap(_PANEL_WIDTH + (_VIEW_SIDE if views else 0), max(panel.height, 2 * _VIEW_SIDE))
    sheet.fill(qt.QColor("black"))
    painter = qt.QPainter(sheet)
    painter.drawPixmap(0, 0, panel.grab())
    for row, view in enumerate(views):
        painter.drawImage(_PANEL_WIDTH, row * _VIEW_SIDE, _image(view.pixels()))
    painter.end()
    sheet.save(str(path))


def _image(pixels):
    height, width = pixels.shape[:2]
    copy = pixels[..., :3].copy()
    return qt.QImage(copy.data, width, height, width * 3, qt.QImage.Format_RGB888).copy()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
