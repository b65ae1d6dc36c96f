"""The application's parts: files, scene bundles, subject hierarchy, sample data, views."""

from pathlib import Path

import host
import numpy as np
import pytest
import slicer

SAMPLES = Path(__file__).resolve().parents[2] / "LMIDiffusion" / "Resources" / "SampleData"


def load() -> slicer.vtkMRMLScalarVolumeNode:
    return slicer.util.loadVolume(str(SAMPLES / "sri24_T1w.nii.gz"))


def test_a_volume_is_read_with_its_geometry() -> None:
    volume = load()
    assert slicer.util.arrayFromVolume(volume).shape == volume.GetImageData().GetDimensions()[::-1]
    assert max(volume.GetSpacing()) == pytest.approx(2)


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        slicer.util.loadVolume("/nowhere/volume.nii.gz")


def test_kinds_of_files_that_the_host_cannot_read_are_told() -> None:
    with pytest.raises(NotImplementedError, match="reads no ModelFile"):
        slicer.app.coreIOManager().loadNodes("ModelFile", {"fileName": __file__})


def test_a_scene_bundle_comes_back(tmp_path: Path) -> None:
    voxels = slicer.util.arrayFromVolume(load()).copy()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    volume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), voxels)


def test_nodes_have_items_in_the_subject_hierarchy() -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemByDataNode(load())


def test_a_sample_with_another_checksum_is_refused() -> None:
    from SampleData import SampleDataLogic

    SampleDataLogic.registerCustomSampleDataSource(
        category="test",
        sampleName="wrong",
        uris=(SAMPLES / "sri24_T1w.nii.gz").as_uri(),
        fileNames="sri24_T1w.nii.gz",
        nodeNames="wrong",
        thumbnailFileName=__file__,
        checksums="SHA256:00",
        loadFileType="VolumeFile",
        loadFileProperties={},
    )
    with pytest.raises(ValueError, match="checksum"):
        SampleDataLogic().downloadSample("wrong")
    slicer.modules.sampleDataSources["test"].clear()


def test_a_slice_view_shows_a_volume_and_a_3d_view_a_surface() -> None:
    view = host.view2D()
    assert view.pixels().max() == 0
    volume = load()
    slicer.util.setSliceViewerLayers(background=volume)
    view.fit()
    assert (view.pixels() > 50).mean() > 0.1
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = segmentation.GetSegmentation().AddEmptySegment("head")
    head = (slicer.util.arrayFromVolume(volume) > 100).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(head, segmentation, segment, volume)
    space = host.view3D()
    empty = space.pixels()
    segmentation.CreateClosedSurfaceRepresentation()
    space.fit()
    assert (space.pixels() != empty).any(axis=2).mean() > 0.05
