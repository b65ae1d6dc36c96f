"""Runs a scripted module on Slicer's own libraries, without the application.

.. code-block:: python

  import host

  host.start()
  module = host.loadModule("LMIDiffusion/LMIDiffusion.py")
  module.widget.ui.translateButton.click()
  host.waitUntil(lambda: module.widget.ui.translateButton.text == "Translate", timeout=60)

README.md says what is real and what stands in for the application.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

# VTK renders off screen without an X server, and Qt shows nothing.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
os.environ.pop("DISPLAY", None)

import dialogs
import qt

_SUBMODULES = {
    "i18n": "i18n",
    "packaging": "packages",
    "parameterNodeWrapper": "parameterNodeWrapper",
    "ScriptedLoadableModule": "ScriptedLoadableModule",
}
_VIEW_SIZE = (512, 512)
_started: list[Any] = []


def start() -> None:
    """Make `qt`, `ctk` and `slicer` what a scripted module expects; once a process."""
    if _started:
        return
    _started.append(qt.QApplication.instance() or qt.QApplication(["SlicerHost"]))
    import application
    import borrowed
    import slicer.util

    dialogs.install()
    application.install()
    for name, file in _SUBMODULES.items():
        found = borrowed.load(name) if borrowed.isWanted() else __import__(file)
        sys.modules[f"slicer.{name}"] = found
        setattr(slicer, name, found)
    # In older versions of slicer-core these two run pip by themselves.
    slicer.util.pip_install = lambda *arguments, **options: slicer.packaging.pip_install(*arguments, **options)
    slicer.util.pip_uninstall = lambda *arguments, **options: slicer.packaging.pip_uninstall(*arguments, **options)
    sys.excepthook = _onException


def _onException(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Exceptions that neither Qt nor VTK let through come here: from slots, timers and observers."""
    traceback.print_exception(kind, error, trace)
    qt.slotErrors.append((kind, error, trace))


def loadModule(path: str | Path) -> Any:
    """Load NAME.py as Slicer does: the module, its panel, and the end of startup."""
    import modules
    import slicer

    module = modules.load(Path(path).resolve())
    slicer.app.startupCompleted.emit()
    return module


def processEvents(seconds: float = 0.0) -> None:
    """Run the event loop for so long, at least once."""
    end = time.monotonic() + seconds
    while True:
        qt.QApplication.instance().processEvents(qt.QEventLoop.AllEvents, 20)
        # Only a loop of events deletes what is to be deleted later.
        qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)
        if time.monotonic() >= end:
            return
        time.sleep(0.005)


def waitUntil(condition: Callable[[], Any], timeout: float) -> None:
    """Run the event loop until the condition holds.

    :raises TimeoutError: it did not come to hold within so many seconds.
    """
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"still waiting after {timeout} s")
        processEvents(0.01)


def slotErrors() -> list[Any]:
    """Exceptions raised in slots and observers so far, as (type, value, traceback)."""
    return qt.slotErrors


def answerNext(answer: Any) -> None:
    """Answer the next modal dialog, as `dialogs.answerNext` tells. Without an answer it is an error."""
    dialogs.answerNext(answer)


def setTesting(isTesting: bool) -> None:
    """Turn testing mode on or off, in which Slicer's message boxes do not show. It is on at first."""
    import slicer

    slicer.app._isTesting = isTesting


def showViews(size: tuple[int, int] = _VIEW_SIZE) -> Any:
    """Make the slice views and the 3D view, as with a main window; returns `slicer.app.layoutManager()`."""
    import slicer
    import views

    if slicer.app.layoutManager() is None:
        slicer.app._layoutManager = views.qMRMLLayoutManager(size)
    return slicer.app.layoutManager()


def view2D(name: str = "Red", orientation: str | None = None) -> Any:
    """The slice view of that name, on the real displayable managers; has pixels() and png(path)."""
    view = showViews().sliceWidget(name).sliceView()
    if orientation is not None:
        view.node.SetOrientation(orientation)
    return view


def view3D() -> Any:
    """The 3D view, on the real displayable managers; has pixels() and png(path)."""
    return showViews().threeDWidget(0).threeDView()


def quit() -> None:
    """Leave as Slicer does: tell everyone, then clean up the modules. The host cannot be used afterwards."""
    import slicer

    slicer.app.aboutToQuit.emit()
    slicer.app.moduleManager().unloadModules()
    slicer.app.close()
