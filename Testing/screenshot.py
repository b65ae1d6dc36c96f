"""`python Testing/screenshot.py FOLDER`: the panel beside the axial and the 3D view, at every step of a translation.

Clicks through the job on the bundled scan with the bundled checkpoint, and draws FOLDER/1-input.png, 2-running.png and
result.png.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing" / "SlicerHost"), str(ROOT)]

import host

host.start()

import qt

_PANEL_WIDTH, _VIEW_SIDE = 470, 560
_PATIENCE = 600


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    host.showViews((_VIEW_SIDE, _VIEW_SIDE))
    module = host.loadModule(ROOT / "LMIDiffusion" / "LMIDiffusion.py")
    panel, ui = module.widgetRepresentation(), module.widgetRepresentation().self().ui
    panel.enter()
    ui.sampleButton.click()
    host.view2D().fit()
    draw(panel, folder / "1-input.png")
    ui.translateButton.click()
    host.waitUntil(lambda: ui.progressBar.value > 30, _PATIENCE)
    draw(panel, folder / "2-running.png")
    host.waitUntil(lambda: ui.translateButton.text == "Translate", _PATIENCE)
    ui.show3DButton.click()
    host.view3D().fit()
    draw(panel, folder / "result.png")
    if host.slotErrors():
        raise SystemExit("Something went wrong in the panel; see the messages above.")
    host.quit()


def draw(panel, path: Path) -> None:
    """The panel at its full height, and the views beside it."""
    panel.setFixedWidth(_PANEL_WIDTH)
    panel.show()
    host.processEvents(0.3)
    panel.resize(_PANEL_WIDTH, max(panel.sizeHint().height(), 2 * _VIEW_SIDE))
    host.processEvents(0.3)
    sheet = qt.QPixmap(_PANEL_WIDTH + _VIEW_SIDE, max(panel.height, 2 * _VIEW_SIDE))
    sheet.fill(qt.QColor("black"))
    painter = qt.QPainter(sheet)
    painter.drawPixmap(0, 0, panel.grab())
    for row, view in enumerate((host.view2D(), host.view3D())):
        painter.drawImage(_PANEL_WIDTH, row * _VIEW_SIDE, _image(view.pixels()))
    painter.end()
    sheet.save(str(path))


def _image(pixels):
    height, width = pixels.shape[:2]
    copy = pixels[..., :3].copy()
    return qt.QImage(copy.data, width, height, width * 3, qt.QImage.Format_RGB888).copy()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
