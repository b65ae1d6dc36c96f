"""The stand-ins of CTK and qMRML widgets, on the real scene."""

import ctk
import host
import numpy as np
import pytest
import qt
import slicer

LABELS = "vtkMRMLLabelMapVolumeNode"


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


@pytest.fixture
def path_edit() -> ctk.ctkPathLineEdit:
    slicer.app.userSettings().clear()
    edit = ctk.ctkPathLineEdit()
    edit.nameFilters = ["Checkpoints (*.safetensors)"]
    edit.settingKey = "LMIDiffusion/Paths"
    return edit


def test_adding_a_path_to_the_history_tells_of_it_again(path_edit) -> None:
    paths = []
    path_edit.connect("currentPathChanged(QString)", paths.append)
    for path in ("/a.safetensors", "/b.safetensors", "", "/b.safetensors"):
        path_edit.currentPath = path
        path_edit.addCurrentPathToHistory()
    assert paths[:3] == ["/a.safetensors", "/b.safetensors", "/b.safetensors"]
    assert paths[3:] == ["/a.safetensors", "/b.safetensors"], "CTK takes the path out of its list and puts it back"
    assert path_edit.currentPath == "/b.safetensors"


def test_a_slot_that_adds_to_the_history_whatever_it_hears_calls_itself_without_end(path_edit) -> None:
    path_edit.connect("currentPathChanged(QString)", lambda path: path_edit.addCurrentPathToHistory())
    for path in ("/a.safetensors", "", "/a.safetensors"):
        path_edit.currentPath = path
    assert any(isinstance(error, RecursionError) for _, error, _ in host.slotErrors())
    host.slotErrors().clear()


def test_a_new_path_edit_shows_the_path_used_last(path_edit) -> None:
    path_edit.currentPath = "/a.safetensors"
    path_edit.addCurrentPathToHistory()
    other = ctk.ctkPathLineEdit()
    other.settingKey = "LMIDiffusion/Paths"
    assert other.currentPath == "/a.safetensors"


def test_a_path_stays_spelled_as_it_was_written(path_edit) -> None:
    path_edit.currentPath = "/folder//./a.safetensors"
    assert path_edit.currentPath == "/folder//./a.safetensors"


def test_a_button_box_takes_no_flags_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="setStandardButtons"):
        qt.QDialogButtonBox(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
    box = qt.QDialogButtonBox()
    box.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
    assert box.button(qt.QDialogButtonBox.Ok) is not None


def dialog() -> tuple[qt.QDialog, qt.QDialogButtonBox]:
    found = qt.QDialog()
    box = qt.QDialogButtonBox(found)
    box.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
    box.connect("accepted()", found.accept)
    box.connect("rejected()", found.reject)
    return found, box


def test_a_dialog_ends_by_a_click_in_it_and_by_nothing_else() -> None:
    for button, result in ((qt.QDialogButtonBox.Ok, 1), (qt.QDialogButtonBox.Cancel, 0)):
        shown, box = dialog()
        host.answerNext(lambda _, box=box, button=button: box.button(button).click())
        assert shown.exec() == result
    for answer, reason in ((1, "clicking"), (lambda shown: 1, "returns"), (lambda shown: None, "left the dialog")):
        host.answerNext(answer)
        with pytest.raises((TypeError, RuntimeError), match=reason):
            dialog()[0].exec()


def test_a_message_box_is_answered_by_a_button_that_it_has() -> None:
    box = qt.QMessageBox()
    box.setStandardButtons(qt.QMessageBox.Ok | qt.QMessageBox.Cancel)
    host.answerNext(qt.QMessageBox.Cancel)
    assert box.exec() == qt.QMessageBox.Cancel
    host.answerNext(qt.QMessageBox.Yes)
    with pytest.raises(ValueError, match="has no button"):
        box.exec()


def segmentation() -> slicer.vtkMRMLSegmentationNode:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    return node


def test_show_3d_needs_a_segment_and_sets_what_each_kind_of_view_shows() -> None:
    button, node = slicer.qMRMLSegmentationShow3DButton(), segmentation()
    button.setSegmentationNode(node)
    assert not button.enabled
    cube = slicer.util.addVolumeFromArray(np.pad(np.ones((4, 4, 4), np.uint8), 2), nodeClassName=LABELS)
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(cube, node)
    assert button.enabled and not button.checked
    button.click()
    names = slicer.vtkSegmentationConverter
    display = node.GetDisplayNode()
    surfaces, labels = names.GetClosedSurfaceRepresentationName(), names.GetBinaryLabelmapRepresentationName()
    assert display.GetPreferredDisplayRepresentationName3D() == surfaces
    assert display.GetPreferredDisplayRepresentationName2D() == labels
    segment = node.GetSegmentation().GetNthSegment(0)
    smooth = segment.GetRepresentation(surfaces).GetBounds()
    button.menu().actions()[0].setChecked(False)
    assert segment.GetRepresentation(surfaces).GetBounds() != smooth
    button.click()
    assert not node.GetSegmentation().ContainsRepresentation(surfaces)
