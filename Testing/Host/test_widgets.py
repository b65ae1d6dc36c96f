"""The stand-ins of CTK and qMRML widgets, on the real scene."""

import ctk
import pytest
import qt
import slicer


@pytest.fixture
def selector() -> slicer.qMRMLNodeComboBox:
    widget = slicer.qMRMLNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.showChildNodeTypes = False
    widget.setMRMLScene(slicer.mrmlScene)
    return widget


def volume(name: str = "volume") -> slicer.vtkMRMLScalarVolumeNode:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def test_a_selector_takes_the_first_node_of_its_type_unless_none_is_allowed(selector) -> None:
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert selector.currentNode() is None
    first = volume()
    volume()
    assert selector.currentNode() is first
    assert selector.nodeCount() == 2
    selector.noneEnabled = True
    selector.setCurrentNode(None)
    assert selector.currentNode() is None


def test_a_removed_node_leaves_the_selector(selector) -> None:
    selector.noneEnabled = True
    node = volume()
    selector.setCurrentNode(node)
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    slicer.mrmlScene.RemoveNode(node)
    assert selector.currentNode() is None
    assert heard == [None]


def test_a_removed_node_leaves_the_selection_to_the_one_above(selector) -> None:
    selector.noneEnabled = True
    first, second = volume("first"), volume("second")
    selector.setCurrentNode(second)
    slicer.mrmlScene.RemoveNode(second)
    assert selector.currentNode() is first


def test_create_new_adds_a_node_and_chooses_it(selector) -> None:
    added = []
    selector.connect("nodeAddedByUser(vtkMRMLNode*)", added.append)
    node = selector.addNode()
    assert added == [node] == [selector.currentNode()]


@pytest.mark.parametrize("make", [ctk.ctkCollapsibleButton, ctk.ctkCollapsibleGroupBox])
def test_a_collapsed_box_hides_what_is_in_it(make: type) -> None:
    box = make()
    label = qt.QLabel("inside", box)
    box.show()
    assert label.visible
    box.collapsed = True
    assert not label.visible
    box.collapsed = False
    assert label.visible


def test_a_slider_tells_of_new_values_within_its_range() -> None:
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum = 0.0, 2.0
    heard = []
    slider.connect("valueChanged(double)", heard.append)
    slider.value = 1.5
    slider.value = 9.0
    assert heard == [1.5, 2.0]


def test_a_slider_stops_at_multiples_of_its_step_which_is_one_at_first() -> None:
    slider = ctk.ctkSliderWidget()
    handle = slider.findChild(qt.QSlider)
    slider.setRange(0.0, 1.0)
    assert (handle.minimum, handle.maximum) == (0, 1)
    slider.singleStep = 0.25
    assert (handle.minimum, handle.maximum) == (0, 4)
    handle.setSliderDown(True)
    handle.setSliderPosition(3)
    assert slider.value == 0.75


def test_a_path_edit_tells_of_paths_that_its_filters_accept_and_of_the_change_to_others() -> None:
    edit = ctk.ctkPathLineEdit()
    edit.nameFilters = ["Pictures (*.png *.jpg)"]
    paths, validities = [], []
    edit.connect("currentPathChanged(QString)", paths.append)
    edit.connect("validInputChanged(bool)", validities.append)
    for text in ("a.txt", "a.png", "b.jpg", ""):
        edit.currentPath = text
    assert paths == ["a.png", "b.jpg"]
    assert validities == [False, True, False]
