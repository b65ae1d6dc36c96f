"""Qt through PythonQt's conventions: what a module may write, and what must fail as it fails in Slicer."""

from pathlib import Path

import ctk
import host
import pytest
import qt
import slicer


def test_properties_are_attributes_and_setters_stay() -> None:
    button = qt.QPushButton("one")
    assert button.text == "one"
    button.text = "two"
    button.setEnabled(False)
    assert (button.text, button.enabled) == ("two", False)


def test_a_getter_of_a_property_cannot_be_called() -> None:
    with pytest.raises(TypeError):
        qt.QPushButton("one").text()


@pytest.mark.parametrize("make", [qt.QPushButton, ctk.ctkCollapsibleButton, slicer.qMRMLNodeComboBox])
def test_unknown_attributes_can_be_neither_read_nor_written(make: type) -> None:
    widget = make()
    with pytest.raises(AttributeError, match="nonsense"):
        widget.nonsense = 1
    with pytest.raises(AttributeError, match="nonsense"):
        print(widget.nonsense)


def test_a_value_of_the_wrong_type_and_a_read_only_property_are_refused() -> None:
    with pytest.raises(AttributeError):
        qt.QSpinBox().value = "three"
    with pytest.raises(AttributeError, match="not writable"):
        qt.QWidget().isActiveWindow = True


def test_a_method_cannot_be_overwritten() -> None:
    with pytest.raises(AttributeError, match="cannot be overwritten"):
        qt.QPushButton().setText = None


def test_slots_may_take_fewer_arguments_than_the_signal_gives() -> None:
    heard = []
    box = qt.QCheckBox()
    box.connect("toggled(bool)", heard.append)
    box.connect("toggled(bool)", lambda: heard.append("none"))
    box.setChecked(True)
    assert heard == [True, "none"]


def test_disconnected_slots_are_silent_and_others_go_on() -> None:
    heard = []
    first, second = (lambda value: heard.append("first")), (lambda value: heard.append("second"))
    box = qt.QSpinBox()
    for slot in (first, second):
        box.connect("valueChanged(int)", slot)
    assert box.disconnect("valueChanged(int)", first)
    box.setValue(3)
    assert heard == ["second"]
    assert not box.disconnect("valueChanged(int)", first)


def test_unknown_signals_and_signals_without_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="no signal 'pressedTwice'"):
        qt.QPushButton().connect("pressedTwice()", print)
    with pytest.raises(ValueError, match="write it with its arguments"):
        qt.QPushButton().connect("clicked", print)


def test_exceptions_in_slots_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert [kind for kind, _, _ in host.slotErrors()] == [ZeroDivisionError]
    assert "ZeroDivisionError" in capsys.readouterr().err
    host.slotErrors().clear()


def test_children_are_found_by_name() -> None:
    parent = qt.QWidget()
    child = qt.QLabel("text", parent)
    child.objectName = "answer"
    assert parent.answer.text == "text"


def written(folder: Path, widget: str, *, connections: str = "") -> str:
    path = folder / "panel.ui"
    path.write_text(
        f'<ui version="4.0"><class>Panel</class><widget class="qMRMLWidget" name="Panel">'
        f'<layout class="QVBoxLayout"><item>{widget}</item></layout></widget>'
        f"<connections>{connections}</connections></ui>"
    )
    return str(path)


def test_a_widget_that_the_host_lacks_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, '<widget class="qMRMLPlotView" name="plot"/>')
    with pytest.raises(NotImplementedError, match=r"no qMRMLPlotView, which the \.ui file uses as 'plot'"):
        slicer.util.loadUI(path)


def test_a_selector_sees_the_scene_only_if_the_file_connects_it(tmp_path: Path) -> None:
    selector = '<widget class="qMRMLNodeComboBox" name="selector"/>'
    connection = (
        "<connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>"
        "<receiver>selector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>"
    )
    scenes = []
    for connections in ("", connection):
        panel = slicer.util.loadUI(written(tmp_path, selector, connections=connections))
        panel.setMRMLScene(slicer.mrmlScene)
        scenes.append(panel.selector.mrmlScene())
    assert scenes == [None, slicer.mrmlScene]
