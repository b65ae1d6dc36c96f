"""Runs a scripted module on Slicer's own libraries, without the application.

    import host

    host.start()
    module = host.loadModule("LMIDiffusion/LMIDiffusion.py")
    module.widget.ui.translateButton.click()
    host.waitUntil(lambda: module.widget.ui.translateButton.text == "Translate", timeout=60)
"""

import importlib.util
import sys
import time
from pathlib import Path

_application = []


def start():
    """Make `qt`, `ctk` and `slicer` what a scripted module expects; once a process."""
    if _application:
        return
    import qt

    _application.append(qt.QApplication.instance() or qt.QApplication(["SlicerHost"]))
    import application
    import mrml_widgets
    import parameter_nodes
    import sample_data
    import scripted_modules
    import slicer.util

    assert mrml_widgets and slicer.util
    application.install()
    for standIn in (scripted_modules, parameter_nodes, sample_data):
        standIn.install()


def loadModule(path):
    """Load NAME.py as Slicer does: the module, its widget in a qMRMLWidget, and the end of startup."""
    import application
    import qt
    import slicer

    path = Path(path).resolve()
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    python = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(python)
    module = application.Module(name, path=str(path))
    setattr(slicer.modules, name.lower(), module)
    setattr(slicer.modules, f"{name}Instance", getattr(python, name)(module))
    module.representation = slicer.qMRMLWidget()
    module.representation.setLayout(qt.QVBoxLayout())
    module.representation.setMRMLScene(slicer.mrmlScene)
    module.widget = getattr(python, f"{name}Widget")(module.representation)
    setattr(slicer.modules, f"{name}Widget", module.widget)
    module.widget.setup()
    slicer.app.startupCompleted.emit()
    return module


def processEvents(seconds=0.0):
    """Run the event loop for so long, at least once."""
    import qt

    end = time.monotonic() + seconds
    while True:
        qt.QApplication.instance().processEvents(qt.QEventLoop.AllEvents, 20)
        if time.monotonic() >= end:
            return
        time.sleep(0.005)


def waitUntil(condition, timeout):
    """Run the event loop until the condition holds.

    Raises:
        TimeoutError: it did not come to hold within so many seconds.
    """
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"still waiting after {timeout} s")
        processEvents(0.01)


def slotErrors():
    """Exceptions raised in slots so far, as (type, value, traceback)."""
    import qt

    return qt.slotErrors


def quit():
    """Leave as Slicer does: tell everyone, then clean up the widgets of scripted modules."""
    import slicer

    slicer.app.aboutToQuit.emit()
    for module in vars(slicer.modules).values():
        widget = getattr(module, "widget", None)
        if widget is not None:
            widget.cleanup()


def view2D(name="Red", orientation="Axial", size=(512, 512)):
    """A slice view on the real displayable managers."""
    import views

    return views.SliceView(name, orientation, size)


def view3D(size=(512, 512)):
    """A 3D view on the real displayable managers."""
    import views

    return views.ThreeDView(size)
