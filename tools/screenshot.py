"""`python tools/screenshot.py FOLDER`: the panel beside slice and 3D views, at every step of a translation.

Clicks through the job on the bundled scan with the bundled checkpoint, and draws FOLDER/1-first-run.png to
8-error.png, each a full window.
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
from PIL import Image

_PANEL_WIDTH, _HEIGHT = 480, 1000
_SLICE_SIZE, _SPACE_SIZE = (560, 484), (1120, 484)
_BAR = 16  # above each view, in its color and with its letter
_COLORS = {"Red": "#f34a33", "Yellow": "#edd54c", "3D": "#7480b8"}
_LETTERS = {"Red": "R", "Yellow": "Y", "3D": "1"}
_TITLE = 24  # above a dialog
_PATIENCE = 3600


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    window = Window()
    ui = window.ui
    ui.sampleButton.click()
    window.showSlices()
    window.save(folder / "1-first-run.png")
    ui.advancedCollapsibleButton.collapsed = False
    window.save(folder / "2-advanced.png")
    ui.advancedCollapsibleButton.collapsed = True
    draw_translation(window, folder)
    draw_side_by_side(window, folder / "5-side-by-side.png")
    draw_several(window, folder / "6-several.png")
    draw_sequence(window, folder / "7-sequence.png")
    draw_error(window, folder / "8-error.png")
    if host.slotErrors():
        raise SystemExit("Something went wrong in the panel; see the messages above.")
    host.quit()


class Window:
    """The panel, two slice views and the 3D view as they lie in Slicer's main window."""

    def __init__(self):
        host.showViews(_SLICE_SIZE)
        module = host.loadModule(ROOT / "LMIDiffusion" / "LMIDiffusion.py")
        self.panel = module.widgetRepresentation()
        self.panel.enter()
        self.ui = self.panel.self().ui
        space = host.view3D()
        space.renderWindow().SetSize(*_SPACE_SIZE)
        space.node.SetBoxVisible(0)
        space.node.SetAxisLabelsVisible(0)

    def showSlices(self) -> None:
        """Fit the slice views, and show their slices in 3D from a corner."""
        for name in ("Red", "Yellow"):
            view = host.view2D(name)
            view.fit()
            view.node.SetSliceVisible(True)
        # Without the air around the head, which is black in 3D.
        display = slicer.util.getNode("SRI24 PDw").GetDisplayNode()
        display.SetLowerThreshold(40)
        display.ApplyThresholdOn()
        self.lookFromCorner()

    def lookFromCorner(self) -> None:
        space = host.view3D()
        space.forceRender()
        camera = space.renderer.GetActiveCamera()
        camera.SetPosition(-320, 420, 230)
        camera.SetFocalPoint(0, 0, 0)
        camera.SetViewUp(0, 0, 1)
        space.renderer.ResetCamera()
        camera.Zoom(1.75)

    def save(self, path: Path, *, over=None, settle: bool = True) -> None:
        """Draw everything; `over` is a dialog in front of it."""
        self.panel.setFixedWidth(_PANEL_WIDTH)
        self.panel.show()
        if settle:
            host.processEvents(0.3)
        self.panel.resize(_PANEL_WIDTH, _HEIGHT)
        if settle:
            host.processEvents(0.3)
        sheet = qt.QPixmap(_PANEL_WIDTH + _SPACE_SIZE[0], _HEIGHT)
        sheet.fill(self.panel.palette.color(qt.QPalette.Window))
        painter = qt.QPainter(sheet)
        painter.drawPixmap(0, 0, self.panel.grab())
        left, below = _PANEL_WIDTH, _SLICE_SIZE[1] + _BAR
        for name, view, x, y in (
            ("Red", host.view2D("Red"), left, 0),
            ("Yellow", host.view2D("Yellow"), left + _SLICE_SIZE[0], 0),
            ("3D", host.view3D(), left, below),
        ):
            width = _SPACE_SIZE[0] if name == "3D" else _SLICE_SIZE[0]
            painter.fillRect(x, y, width, _BAR, qt.QColor(_COLORS[name]))
            painter.setPen(qt.QColor("white" if name == "3D" else "black"))
            painter.drawText(x + 6, y + _BAR - 4, _LETTERS[name])
            painter.drawImage(x, y + _BAR, _image(view.pixels()))
        painter.fillRect(left + _SLICE_SIZE[0] - 1, 0, 2, below, qt.QColor("white"))
        if over is not None:
            _drawDialog(painter, sheet, over)
        painter.end()
        sheet.save(str(path))
        _reduce(path)


def _drawDialog(painter, sheet, dialog) -> None:
    """Draw a dialog in the middle, below the bar with its title that a window manager would give it."""
    picture = dialog.grab()
    x, y = (sheet.width() - picture.width()) // 2, (sheet.height() - picture.height()) // 3
    painter.fillRect(x - 1, y - _TITLE - 1, picture.width() + 2, picture.height() + _TITLE + 2, qt.QColor("#505050"))
    painter.setPen(qt.QColor("white"))
    painter.drawText(x + 8, y - 8, dialog.windowTitle)
    painter.drawPixmap(x, y, picture)


def draw_translation(window: Window, folder: Path) -> None:
    ui = window.ui
    ui.translateButton.click()
    # Once the time left is known, and at once: the run goes on with every event.
    host.waitUntil(lambda: ui.progressBar.value > 30 and "left" in ui.statusLabel.text, _PATIENCE)
    window.save(folder / "3-running.png", settle=False)
    wait(ui)
    for name in ("Red", "Yellow"):
        host.view2D(name).node.SetSliceVisible(False)
    ui.show3DButton.click()
    window.lookFromCorner()
    window.save(folder / "4-result.png")


def draw_side_by_side(window: Window, path: Path) -> None:
    """Outlines alone, so that the contrasts can be compared."""
    window.ui.segmentStyleComboBox.currentText = "Outlines"
    window.ui.viewModeComboBox.currentText = "Side by side"
    window.save(path)
    window.ui.viewModeComboBox.currentText = "Blended"
    window.ui.segmentStyleComboBox.currentText = "Filled"


def draw_several(window: Window, path: Path) -> None:
    other = slicer.util.getNode("SRI24 PDw")
    for name in ("follow-up after 6 months", "follow-up after 12 months"):
        slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, other, name)

    def answer(dialog) -> None:
        dialog.findChild(qt.QCheckBox).click()
        dialog.resize(420, 240)
        host.processEvents(0.2)
        window.save(path, over=dialog)
        dialog.findChild(qt.QDialogButtonBox).button(qt.QDialogButtonBox.Cancel).click()

    host.answerNext(answer)
    window.ui.severalButton.click()


def draw_sequence(window: Window, path: Path) -> None:
    """Two frames, the second of which has another contrast."""
    ui = window.ui
    sample = slicer.util.getNode("SRI24 PDw")
    mask = slicer.util.getNode("SRI24 brain mask")
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "PDw series")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    voxels = slicer.util.arrayFromVolume(sample).astype(float)
    for number in range(2):
        frame = slicer.vtkMRMLScalarVolumeNode()
        slicer.util.updateVolumeFromArray(frame, voxels.max() * (voxels / voxels.max()) ** (1 + number / 2))
        frame.CopyOrientation(sample)
        sequence.SetDataNodeAtValue(frame, str(2.5 * number))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "series")
    browser.AddSynchronizedSequenceNode(sequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    ui.sourceVolumeSelector.setCurrentNode(browser.GetProxyNode(sequence))
    ui.brainMaskSelector.setCurrentNode(mask)
    ui.qualityComboBox.currentText = "Fast"
    ui.allFramesCheckBox.checked = True
    ui.translateButton.click()
    wait(ui)
    ui.show3DButton.click()
    window.save(path)


def draw_error(window: Window, path: Path) -> None:
    """A Python that cannot load PyTorch, in the place of Slicer's."""
    ui = window.ui
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
    ui.resultCollapsibleButton.collapsed = True
    window.save(path)


def wait(ui) -> None:
    host.waitUntil(lambda: ui.translateButton.text == "Translate", _PATIENCE)


def _reduce(path: Path) -> None:
    """Reduce to 96 colors: the pictures lie in the repository, whose size is limited."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(96, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


def _image(pixels):
    height, width = pixels.shape[:2]
    copy = pixels[..., :3].copy()
    return qt.QImage(copy.data, width, height, width * 3, qt.QImage.Format_RGB888).copy()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
