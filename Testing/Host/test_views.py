"""Slice and 3D views draw with Slicer's displayable managers; without them there is no layout manager."""

from pathlib import Path
from typing import Any

import host
import numpy as np
import pytest
import slicer
from conftest import SAMPLES


def test_there_is_no_layout_manager_until_views_are_asked_for() -> None:
    """The first test of this file, as views stay."""
    assert slicer.app.layoutManager() is None
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode") is None
    manager = host.showViews()
    assert slicer.app.layoutManager() is manager is host.showViews()
    assert set(manager.sliceViewNames()) == {"Red", "Yellow", "Green"}
    with pytest.raises(NotImplementedError, match="not 'Blue'"):
        manager.sliceWidget("Blue")


def load() -> Any:
    return slicer.util.loadVolume(str(SAMPLES / "sri24_T1w.nii.gz"), {})


def test_a_loaded_volume_is_shown_in_every_slice_view_unless_it_is_not_to_be() -> None:
    slicer.util.loadVolume(str(SAMPLES / "sri24_T1w.nii.gz"), {"show": False})
    assert host.view2D().pixels().max() == 0
    load()
    for name in ("Red", "Yellow", "Green"):
        view = host.view2D(name)
        view.fit()
        assert (view.pixels() > 50).mean() > 0.1


def test_views_show_different_planes() -> None:
    load()
    seen = []
    for name in ("Red", "Yellow", "Green"):
        host.view2D(name).fit()
        seen.append(host.view2D(name).node.GetOrientation())
    assert seen == ["Axial", "Sagittal", "Coronal"]


def test_a_segmentation_is_drawn_over_the_volume_in_its_color() -> None:
    volume = load()
    view = host.view2D()
    view.fit()
    gray = view.pixels().astype(int)
    assert np.ptp(gray, axis=2).max() == 0
    add_segmentation(volume)
    colored = view.pixels().astype(int)
    changed = (colored != gray).any(axis=2)
    assert changed.mean() > 0.05
    assert (colored[changed][:, 0] >= colored[changed][:, 2]).all(), "it is red"


def add_segmentation(volume: Any) -> Any:
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = segmentation.GetSegmentation().AddEmptySegment("head")
    segmentation.GetSegmentation().GetSegment(segment).SetColor(1, 0, 0)
    head = (slicer.util.arrayFromVolume(volume) > 100).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(head, segmentation, segment, volume)
    return segmentation


def test_a_surface_is_seen_in_3d_and_can_be_hidden() -> None:
    space = host.view3D()
    empty = space.pixels()
    segmentation = add_segmentation(load())
    segmentation.CreateClosedSurfaceRepresentation()
    space.fit()
    assert (space.pixels() != empty).any(axis=2).mean() > 0.05
    space.fit()
    shown = space.pixels()
    segmentation.GetDisplayNode().SetVisibility(False)
    assert (space.pixels() != shown).any(axis=2).mean() > 0.05


def test_a_picture_is_written_and_not_while_rendering_is_paused(tmp_path: Path) -> None:
    view = host.view2D()
    view.png(tmp_path / "view.png")
    assert (tmp_path / "view.png").stat().st_size > 100
    with slicer.util.RenderBlocker(), pytest.raises(RuntimeError, match="paused"):
        view.pixels()


def test_the_layout_is_kept_in_the_layout_node() -> None:
    manager = host.showViews()
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    before = manager.layout
    manager.setLayout(node.SlicerLayoutSideBySideView)
    assert node.GetViewArrangement() == manager.layout == node.SlicerLayoutSideBySideView
    manager.setLayout(before)


def test_views_survive_closing_the_scene() -> None:
    host.showViews()
    load()
    slicer.mrmlScene.Clear(0)
    assert host.view2D().pixels().max() == 0
    load()
    host.view2D().fit()
    assert host.view2D().pixels().max() > 100


def test_linked_views_scroll_together_and_others_do_not() -> None:
    load()
    red, yellow = (host.view2D(name) for name in ("Red", "Yellow"))
    before = yellow.node.GetOrientation()
    yellow.node.SetOrientation("Axial")
    for is_linked, expected in ((True, 12.0), (False, 12.0)):
        for view in (red, yellow):
            view.logic.GetSliceCompositeNode().SetLinkedControl(is_linked)
        red.logic.StartSliceNodeInteraction(slicer.vtkMRMLSliceNode.SliceToRASFlag)
        red.node.SetSliceOffset(12.0 if is_linked else 24.0)
        red.logic.EndSliceNodeInteraction()
        assert yellow.node.GetSliceOffset() == expected
    yellow.node.SetOrientation(before)
