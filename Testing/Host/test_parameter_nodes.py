"""Typed parameters on a real node, kept equal to widgets; what Slicer's wrapper refuses is refused."""

import pathlib
from enum import Enum
from typing import Annotated, Any

import borrowed
import ctk
import pytest
import qt
import slicer
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

pytestmark = pytest.mark.skipif(borrowed.isWanted(), reason="these are tests of the stand-in")


class Color(Enum):
    RED = "red"
    BLUE = "blue"

    def label(self) -> str:
        return self.value.title()


@parameterNodeWrapper
class Parameters:
    volume: slicer.vtkMRMLScalarVolumeNode
    count: Annotated[int, WithinRange(1, 9)] = 3
    share: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    isOn: bool = True
    text: str = "hello"
    path: pathlib.Path
    color: Color = Color.BLUE


@pytest.fixture
def parameters() -> Any:
    return Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


CHANGES = {"count": 7, "share": 0.25, "isOn": False, "text": "ü", "path": pathlib.Path("/a/b"), "color": Color.RED}


def test_defaults_are_read_and_changes_live_in_the_node(parameters: Any) -> None:
    assert (parameters.count, parameters.share, parameters.isOn, parameters.text) == (3, 0.5, True, "hello")
    assert (parameters.path, parameters.color, parameters.volume) == (pathlib.Path(), Color.BLUE, None)
    for name, value in CHANGES.items():
        setattr(parameters, name, value)
    again = Parameters(parameters.parameterNode)
    assert {name: getattr(again, name) for name in CHANGES} == CHANGES


def test_a_node_parameter_is_a_reference_that_ends_with_the_node(parameters: Any) -> None:
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters.volume = volume
    assert parameters.volume is volume
    slicer.mrmlScene.RemoveNode(volume)
    assert parameters.volume is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 10), ("count", "3"), ("count", True), ("share", 1.5), ("isOn", 1), ("text", 3), ("color", "red")],
)
def test_values_of_the_wrong_type_or_range_are_refused(parameters: Any, name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="Value must be"):
        setattr(parameters, name, value)


def test_unknown_parameters_and_reserved_names_are_refused(parameters: Any) -> None:
    with pytest.raises(AttributeError, match="no parameter 'cuont'"):
        parameters.cuont = 3
    with pytest.raises(ValueError, match="reserved name"):
        parameterNodeWrapper(type("Bad", (), {"__annotations__": {"default": int}}))
    with pytest.raises(NotImplementedError):
        parameterNodeWrapper(type("Bad", (), {"__annotations__": {"values": list}}))


def widgets() -> dict[str, Any]:
    selector = slicer.qMRMLNodeComboBox()
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    check = qt.QCheckBox()
    return {
        **{"volume": selector, "count": qt.QSpinBox(), "share": ctk.ctkSliderWidget(), "isOn": check},
        **{"text": qt.QLineEdit(), "path": ctk.ctkPathLineEdit(), "color": qt.QComboBox()},
    }


def test_widgets_and_parameters_follow_each_other_until_they_are_disconnected(parameters: Any) -> None:
    gui = widgets()
    tag = parameters.connectParametersToGui(gui)
    assert (gui["count"].value, gui["count"].maximum, gui["text"].text, gui["color"].currentText) == (
        3,
        9,
        "hello",
        "Blue",
    )
    for name, value in CHANGES.items():
        setattr(parameters, name, value)
    assert (gui["count"].value, gui["isOn"].checked, gui["color"].currentText) == (7, False, "Red")
    assert (gui["path"].currentPath, gui["share"].value) == ("/a/b", 0.25)
    gui["count"].setValue(2)
    gui["color"].setCurrentIndex(1)
    gui["volume"].addNode()
    assert (parameters.count, parameters.color) == (2, Color.BLUE)
    assert parameters.volume is gui["volume"].currentNode() is not None
    parameters.disconnectGui(tag)
    gui["count"].setValue(5)
    parameters.text = "alone"
    assert (parameters.count, gui["text"].text) == (2, "ü")


def test_a_subclass_of_a_widget_and_a_slider_without_range_are_refused(parameters: Any) -> None:
    own = type("OwnSpinBox", (qt.QSpinBox,), {})
    with pytest.raises(RuntimeError, match="Unable to connect a OwnSpinBox"):
        parameters.connectParametersToGui({"count": own()})
    free = parameterNodeWrapper(type("Free", (), {"__annotations__": {"value": float}}))
    node = free(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    with pytest.raises(RuntimeError, match="needs a range"):
        node.connectParametersToGui({"value": ctk.ctkSliderWidget()})
