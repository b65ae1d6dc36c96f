"""Files, scenes, subject hierarchy and samples, on the real storage nodes."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import slicer
import vtk
from conftest import SAMPLES

T1W = SAMPLES / "sri24_T1w.nii.gz"
CSF = (
    "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
    "~SCT^65216001^Cerebrospinal Fluid~^^~Anatomic codes - DICOM master list~^^~^^"
)


def load(**properties: Any) -> Any:
    return slicer.util.loadVolume(str(T1W), properties)


def first(kind: str) -> Any:
    return slicer.mrmlScene.GetFirstNodeByClass(kind)


def ijk_to_ras(volume: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def test_a_volume_is_read_with_the_geometry_and_the_name_of_its_file(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    affine = np.array([[1.0, 0, 0, 5], [0, 1.6, -1.2, 6], [0, 1.2, 1.6, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / "oblique.nii.gz")
    volume = slicer.util.loadVolume(str(tmp_path / "oblique.nii.gz"), {})
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), array.T)
    np.testing.assert_allclose(ijk_to_ras(volume), affine, atol=1e-5)
    assert volume.GetName() == "oblique"


def test_the_reader_reverses_the_slices_of_a_left_handed_file(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    affine = np.diag([-1.0, 2, 3, 1])
    nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / "left.nii")
    volume = slicer.util.loadVolume(str(tmp_path / "left.nii"))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), array.T[::-1])
    assert ijk_to_ras(volume)[2].tolist() == [0, 0, -3, 9]


def test_a_label_map_is_read_as_one_and_a_name_can_be_given() -> None:
    node = slicer.util.loadVolume(str(SAMPLES / "sri24_tissue.nii.gz"), {"labelmap": True, "name": "tissue"})
    assert (node.GetClassName(), node.GetName()) == ("vtkMRMLLabelMapVolumeNode", "tissue")


def test_a_missing_file_and_one_that_is_no_image_are_errors(tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii"
    broken.write_bytes(b"no image")
    for path in ("/nowhere/volume.nii.gz", str(broken)):
        with pytest.raises(RuntimeError, match="Failed to load"):
            slicer.util.loadVolume(path)


def test_kinds_and_properties_that_the_host_cannot_read_are_told() -> None:
    manager = slicer.app.coreIOManager()
    with pytest.raises(NotImplementedError, match="reads no ModelFile"):
        manager.loadNodes("ModelFile", {"fileName": __file__})
    with pytest.raises(NotImplementedError, match="'color'"):
        load(color=1)
    with pytest.raises(NotImplementedError, match="what kind of file"):
        slicer.util.loadNodeFromFile("a.stl")


def test_export_leaves_the_storage_of_the_node_alone(tmp_path: Path) -> None:
    volume = load()
    before = volume.GetStorageNode().GetFileName()
    assert slicer.util.exportNode(volume, str(tmp_path / "copy.nrrd"), {})
    assert volume.GetStorageNode().GetFileName() == before
    again = slicer.util.loadVolume(str(tmp_path / "copy.nrrd"), {})
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(volume))
    with pytest.raises(ValueError, match="no known file format"):
        slicer.util.exportNode(volume, str(tmp_path / "copy.stl"), {})
    with pytest.raises(NotImplementedError, match="world"):
        slicer.util.exportNode(volume, str(tmp_path / "copy.nrrd"), {}, world=True)


def test_save_names_the_file_of_the_node(tmp_path: Path) -> None:
    volume = load()
    assert slicer.util.saveNode(volume, str(tmp_path / "saved.nrrd"), {})
    assert volume.GetStorageNode().GetFileName() == str(tmp_path / "saved.nrrd")


def segmented(volume: Any) -> Any:
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segmentation")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    identifier = segmentation.GetSegmentation().AddEmptySegment("csf")
    bright = (slicer.util.arrayFromVolume(volume) > 100).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(bright, segmentation, identifier, volume)
    segment = segmentation.GetSegmentation().GetSegment(identifier)
    segment.SetName("CSF")
    segment.SetColor(0.1, 0.2, 0.3)
    segment.SetTerminology(CSF)
    return segmentation


def test_a_scene_bundle_comes_back_with_voxels_segments_and_terminology(tmp_path: Path) -> None:
    volume = load()
    voxels, geometry = slicer.util.arrayFromVolume(volume).copy(), ijk_to_ras(volume)
    segmentation = segmented(volume)
    labels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "csf", volume).copy()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"), {})
    slicer.mrmlScene.Clear(0)
    assert first("vtkMRMLScalarVolumeNode") is None
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {})
    volume, segmentation = first("vtkMRMLScalarVolumeNode"), first("vtkMRMLSegmentationNode")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), voxels)
    np.testing.assert_allclose(ijk_to_ras(volume), geometry)
    segment = segmentation.GetSegmentation().GetSegment("csf")
    assert (segment.GetName(), segment.GetTerminology()) == ("CSF", CSF)
    assert segment.GetColor() == pytest.approx((0.1, 0.2, 0.3), abs=1e-3)
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "csf", volume), labels)


@pytest.mark.parametrize("clear", [False, True])
def test_loading_a_scene_adds_to_it_unless_it_is_to_be_cleared(tmp_path: Path, clear: bool) -> None:
    load()
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path, {})
    slicer.util.loadScene(path, {"clear": clear})
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == (1 if clear else 2)


def test_nodes_have_items_in_the_subject_hierarchy_also_from_a_scene(tmp_path: Path) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volume = load()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"), {})
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {})
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(first("vtkMRMLScalarVolumeNode"))
    assert hierarchy.GetItemName(hierarchy.GetItemParent(item)) == "study"
    hidden = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    hidden.UnRegister(None)
    hidden.SetHideFromEditors(True)
    assert hierarchy.GetItemByDataNode(slicer.mrmlScene.AddNode(hidden)) == 0


def register(name: str, **changes: Any) -> None:
    from SampleData import SampleDataLogic

    values = {
        "category": "test",
        "sampleName": name,
        "uris": T1W.as_uri(),
        "fileNames": T1W.name,
        "nodeNames": "the sample",
        "thumbnailFileName": __file__,
        "checksums": f"SHA256:{slicer.util.computeChecksum('SHA256', str(T1W))}",
        **changes,
    }
    SampleDataLogic.registerCustomSampleDataSource(**values)


def test_a_registered_sample_is_copied_checked_and_loaded() -> None:
    from SampleData import SampleDataLogic

    register("good")
    register("good")
    assert len(SampleDataLogic.sampleDataSourcesByCategory("test")) == 1
    volume = SampleDataLogic().downloadSample("good")
    assert volume.GetName() == "the sample"
    assert Path(volume.GetStorageNode().GetFileName()).parent == Path(slicer.app.cachePath)
    slicer.modules.sampleDataSources["test"].clear()


def test_bad_samples_are_refused() -> None:
    from SampleData import SampleDataLogic

    with pytest.raises(ValueError, match="thumbnail"):
        register("no thumbnail", thumbnailFileName="/nowhere.png")
    register("wrong", checksums="SHA256:00")
    with pytest.raises(ValueError, match="checksum"):
        SampleDataLogic().downloadSample("wrong")
    register("remote", uris="https://example.org/volume.nii.gz")
    with pytest.raises(NotImplementedError, match="downloads nothing"):
        SampleDataLogic().downloadSample("remote")
    with pytest.raises(ValueError, match="No sample"):
        SampleDataLogic().downloadSample("unknown")
    slicer.modules.sampleDataSources["test"].clear()
