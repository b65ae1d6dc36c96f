"""The result in the scene: nodes, names, terminology, subject hierarchy; what a saved scene gives back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from conftest import add_head, fast_options, node_ids, package

_TISSUES = {
    "CSF": ("65216001", "Cerebrospinal Fluid", (64, 160, 255)),
    "gray matter": ("389081007", "Gray Matter", (232, 116, 96)),
    "white matter": ("389080008", "White Matter", (255, 225, 100)),
}


def _mask_of(volume: Any) -> Any:
    array = (slicer.util.arrayFromVolume(volume) > 0).astype(np.uint8)
    ijk_to_ras = package("Scene.Geometry").ijkToRas(volume)
    return slicer.util.addVolumeFromArray(array, ijk_to_ras, "brain", "vtkMRMLLabelMapVolumeNode")


def _segments(node: Any) -> list[Any]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]


def test_tissues_have_codes_of_the_dicom_master_list_and_colors_of_their_own(
    logic: Any, head: Any, checkpoint: Path
) -> None:
    result = logic.translate(head, brainMask=_mask_of(head), **fast_options(checkpoint))
    segments = _segments(result.segmentation)
    assert [segment.GetName() for segment in segments] == list(_TISSUES)
    for segment in segments:
        code, meaning, color = _TISSUES[segment.GetName()]
        np.testing.assert_allclose(np.array(segment.GetColor()) * 255, color)
        parts = segment.GetTerminology().split("~")
        assert parts[:3] == [
            "Segmentation category and type - DICOM master list",
            "SCT^123037004^Anatomical Structure",
            f"SCT^{code}^{meaning}",
        ]
        assert result.segmentation.GetDisplayNode().GetSegmentVisibility(f"Segment_{segment.GetLabelValue()}")


def test_the_terminology_is_one_that_slicer_parses(logic: Any, head: Any, checkpoint: Path) -> None:
    result = logic.translate(head, brainMask=_mask_of(head), **fast_options(checkpoint))
    for segment in _segments(result.segmentation):
        entry = slicer.vtkSlicerTerminologyEntry()
        logic = slicer.app.applicationLogic().GetModuleLogic("Terminologies")
        assert logic.DeserializeTerminologyEntry(segment.GetTerminology(), entry)
        assert entry.GetTypeObject().GetCodeValue() == _TISSUES[segment.GetName()][0]
        assert entry.GetCategoryObject().GetCodeValue() == "123037004"


@pytest.mark.parametrize("clusters", ["THREE", "FIVE"])
def test_without_a_mask_the_segments_are_intensity_classes_and_the_air_is_hidden(
    clusters: str, logic: Any, head: Any, checkpoint: Path
) -> None:
    chosen = package("Base.Presets").Clusters[clusters]
    result = logic.translate(head, **fast_options(checkpoint, clusters=chosen))
    segments = _segments(result.segmentation)
    assert [segment.GetName() for segment in segments] == [f"Class {n}" for n in range(1, chosen.value + 1)]
    tissue_codes = {code for code, _, _ in _TISSUES.values()}
    assert not any(code in segment.GetTerminology() for code in tissue_codes for segment in segments)
    assert len({segment.GetColor() for segment in segments}) == chosen.value
    display = result.segmentation.GetDisplayNode()
    visible = [display.GetSegmentVisibility(f"Segment_{n}") for n in range(1, chosen.value + 1)]
    assert visible == [False] + [True] * (chosen.value - 1)


def test_the_table_holds_the_volumes_of_the_segments_in_milliliters(logic: Any, head: Any, checkpoint: Path) -> None:
    result = logic.translate(head, **fast_options(checkpoint))
    assert result.table.GetNumberOfRows() == 4, "air is no segment that anyone measures"
    for row in range(4):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, f"Segment_{row + 2}", result.volume)
        milliliters = np.count_nonzero(mask) * 2.0**3 / 1000
        assert float(result.table.GetCellText(row, 1)) == pytest.approx(milliliters, abs=1e-3)
        assert result.table.GetCellText(row, 0) == f"Class {row + 2}"


def test_nodes_are_named_after_the_source_and_shown_from_zero_to_one(logic: Any, head: Any, checkpoint: Path) -> None:
    result = logic.translate(head, **fast_options(checkpoint))
    assert result.volume.GetName() == "head as T1w"
    assert result.segmentation.GetName() == "head as T1w segmentation"
    assert result.table.GetName() == "head as T1w volumes"
    display = result.volume.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 1)
    assert not display.GetAutoWindowLevel()
    assert "research only" in result.volume.GetDescription()


def test_results_join_the_source_in_its_study(logic: Any, head: Any, checkpoint: Path) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    subject = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    study = hierarchy.CreateStudyItem(subject, "study")
    hierarchy.CreateItem(study, head)
    result = logic.translate(head, **fast_options(checkpoint))
    for node in (result.volume, result.segmentation, result.table):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_an_output_stays_in_the_folder_where_the_user_has_put_it(logic: Any, head: Any, checkpoint: Path) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "mine")
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    hierarchy.CreateItem(folder, output)
    result = logic.translate(head, outputVolume=output, **fast_options(checkpoint))
    assert result.volume is output
    assert output.GetName() == "mine"
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(output)) == folder


def _lab(color: tuple[float, ...]) -> np.ndarray:
    """CIE L*a*b* of an sRGB color in [0, 1], by the white point D65."""
    linear = np.where(np.array(color) <= 0.04045, np.array(color) / 12.92, ((np.array(color) + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    scaled = np.cbrt(to_xyz @ linear / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * scaled[1] - 16, 500 * (scaled[0] - scaled[1]), 200 * (scaled[1] - scaled[2])])


def test_colors_of_segments_differ_from_each_other_and_from_gray(logic: Any, head: Any, checkpoint: Path) -> None:
    """A CIE color difference of 40 is far more than the 2 that can just be seen; Slicer's tissues differ by 16."""
    for options in ({"brainMask": _mask_of(head)}, {}):
        result = logic.translate(head, **options, **fast_options(checkpoint))
        colors = [segment.GetColor() for segment in _segments(result.segmentation) if segment.GetName() != "Class 1"]
        places = [_lab(color) for color in [*colors, (0.5, 0.5, 0.5)]]
        differences = [np.linalg.norm(a - b) for n, a in enumerate(places) for b in places[:n]]
        assert min(differences) > 40


def test_segments_are_thinly_filled_and_the_brain_is_seen_through_the_fluid_in_3d(
    logic: Any, head: Any, checkpoint: Path
) -> None:
    result = logic.translate(head, brainMask=_mask_of(head), **fast_options(checkpoint))
    display = result.segmentation.GetDisplayNode()
    assert 0.3 <= display.GetOpacity2DFill() <= 0.4
    assert display.GetOpacity2DOutline() == 1
    assert all(display.GetSegmentVisibility3D(f"Segment_{n}") for n in (1, 2, 3))
    assert [display.GetSegmentOpacity3D(f"Segment_{n}") for n in (1, 2, 3)] == [0.1, 1, 1]
    assert [display.GetSegmentVisibility2DFill(f"Segment_{n}") for n in (1, 2, 3)] == [True, True, True]


def test_the_segmentation_refers_to_the_source_which_alone_has_uids_for_dicom_export(
    logic: Any, head: Any, checkpoint: Path
) -> None:
    result = logic.translate(head, **fast_options(checkpoint))
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert result.segmentation.GetNodeReference(role) is head
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    assert result.segmentation.GetSegmentation().GetConversionParameter(parameter)


def test_chosen_outputs_are_filled_again_and_nothing_else_is_added(logic: Any, head: Any, checkpoint: Path) -> None:
    first = logic.translate(head, **fast_options(checkpoint))
    nodes = node_ids()
    second = logic.translate(
        head, outputVolume=first.volume, outputSegmentation=first.segmentation, **fast_options(checkpoint, seed=1)
    )
    assert node_ids() == nodes
    assert second.volume is first.volume
    assert second.table is first.table
    assert len(_segments(second.segmentation)) == 5


def test_nothing_of_the_users_is_changed(logic: Any, head: Any, checkpoint: Path) -> None:
    other = add_head("other")
    before = {node.GetID(): node.GetMTime() for node in (head, other)}
    arrays = [slicer.util.arrayFromVolume(node).copy() for node in (head, other)]
    nodes = node_ids()
    result = logic.translate(head, **fast_options(checkpoint))
    assert {node.GetID(): node.GetMTime() for node in (head, other)} == before
    for node, array in zip((head, other), arrays, strict=True):
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), array)
    made = {result.volume, result.segmentation, result.table}
    made |= {node.GetDisplayNode() for node in (result.volume, result.segmentation)}
    extra = node_ids() - nodes - {node.GetID() for node in made}
    assert {slicer.mrmlScene.GetNodeByID(each).GetClassName() for each in extra} <= {"vtkMRMLSubjectHierarchyNode"}


def test_the_uncertainty_lies_on_the_same_grid(logic: Any, head: Any, checkpoint: Path) -> None:
    result = logic.translate(head, uncertainty=True, **fast_options(checkpoint))
    spread = slicer.util.arrayFromVolume(result.uncertainty)
    assert spread.shape == slicer.util.arrayFromVolume(head).shape
    assert spread.max() > 0
    np.testing.assert_array_equal(
        package("Scene.Geometry").ijkToRas(result.uncertainty), package("Scene.Geometry").ijkToRas(head)
    )
    assert result.uncertainty.GetName() == "head as T1w uncertainty"


def test_one_sample_lies_on_the_same_grid_and_says_what_it_is(logic: Any, head: Any, checkpoint: Path) -> None:
    result = logic.translate(head, draw=True, **fast_options(checkpoint))
    assert slicer.util.arrayFromVolume(result.draw).any()
    assert (slicer.util.arrayFromVolume(result.draw) != slicer.util.arrayFromVolume(result.volume)).any()
    np.testing.assert_array_equal(
        package("Scene.Geometry").ijkToRas(result.draw), package("Scene.Geometry").ijkToRas(head)
    )
    assert result.draw.GetName() == "head as T1w one sample"
    assert result.draw.GetDescription().startswith("One sample for looking, not the mean")


def test_the_source_cannot_be_the_output(logic: Any, head: Any, checkpoint: Path) -> None:
    with pytest.raises(package("Base.Errors").TranslationError, match="output too"):
        logic.translate(head, outputVolume=head, **fast_options(checkpoint))


def test_a_blocking_translation_can_be_cancelled(logic: Any, head: Any, checkpoint: Path) -> None:
    with pytest.raises(package("Base.Errors").TranslationCancelled):
        logic.translate(
            head,
            **fast_options(checkpoint),
            onProgress=lambda progress: logic.cancel() if progress.work is not None else None,
        )


def test_the_same_seed_gives_the_same_result(logic: Any, head: Any, checkpoint: Path) -> None:
    arrays = [
        slicer.util.arrayFromVolume(logic.translate(head, **fast_options(checkpoint, seed=seed)).volume)
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(arrays[0], arrays[1])
    assert np.abs(arrays[0] - arrays[2]).max() > 0.01


def test_notices_of_a_scene_saved_by_version_0_1_are_shown(head: Any) -> None:
    results = package("Scene.Results")
    head.SetAttribute("LMIDiffusion.doubts", "scan has gaps.")
    assert results.noticesOf(head) == "scan has gaps."
    results.keepNotices(head, ["scan has a background that is not zero."])
    assert results.noticesOf(head) == "scan has a background that is not zero."


def test_a_saved_scene_gives_everything_back(
    widget: Any, logic: Any, head: Any, checkpoint: Path, tmp_path: Path
) -> None:
    presets = package("Base.Presets")
    result = logic.translate(head, brainMask=_mask_of(head), **fast_options(checkpoint))
    node = logic.getParameterNode()
    node.sourceVolume, node.outputVolume, node.outputSegmentation = head, result.volume, result.segmentation
    node.resultVolume, node.resultSegmentation = result.volume, result.segmentation
    node.brainMask = slicer.util.getNode("brain")
    node.useCheckpointFile, node.checkpointFile = True, checkpoint
    node.quality, node.sampler, node.steps = presets.Quality.CUSTOM, presets.Sampler.EULER_MARUYAMA, 77
    node.samples, node.seed, node.clusters = 3, 11, presets.Clusters.THREE
    node.limitSlices, node.firstSlice, node.lastSlice = True, 2, 9
    node.batchSize, node.segmentationOpacity, node.uncertainty = 4, 0.3, True
    chosen = {name: node.getValue(name) for name in node.allParameters}
    arrays = {each.GetName(): slicer.util.arrayFromVolume(each).copy() for each in (head, result.volume)}
    matrices = {each.GetName(): package("Scene.Geometry").ijkToRas(each) for each in (head, result.volume)}
    segments = [(s.GetName(), s.GetColor(), s.GetTerminology()) for s in _segments(result.segmentation)]
    masks = [
        slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, f"Segment_{n}", result.volume).copy()
        for n in (1, 2, 3)
    ]
    table = [result.table.GetCellText(row, 1) for row in range(3)]
    names = {name: value.GetName() for name, value in chosen.items() if hasattr(value, "GetName")}

    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(path))

    node = logic.getParameterNode()
    for name, value in chosen.items():
        found = node.getValue(name)
        if name in names:
            assert found.GetName() == names[name]
        else:
            assert found == value, name
    for name, array in arrays.items():
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(slicer.util.getNode(name)), array)
        np.testing.assert_allclose(
            package("Scene.Geometry").ijkToRas(slicer.util.getNode(name)), matrices[name], atol=1e-5
        )
    segmentation = slicer.util.getNode("head as T1w segmentation")
    for (name, color, terminology), segment in zip(segments, _segments(segmentation), strict=True):
        assert segment.GetName() == name
        np.testing.assert_allclose(segment.GetColor(), color, atol=1e-3)
        assert segment.GetTerminology() == terminology
    volume = slicer.util.getNode("head as T1w")
    for number, mask in enumerate(masks, 1):
        np.testing.assert_array_equal(
            slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, f"Segment_{number}", volume), mask
        )
    saved = segmentation.GetNodeReference(package("Scene.Results").TABLE_ROLE)
    assert [saved.GetCellText(row, 1) for row in range(3)] == pytest.approx(table)
    assert volume.GetNodeReference(package("Scene.Results").SOURCE_ROLE).GetName() == "head"
