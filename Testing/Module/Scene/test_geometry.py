"""Source and result lie voxel for voxel at the same places in the world, whatever the file's orientation."""

import itertools
from pathlib import Path
from typing import Any

import host
import nibabel as nib
import numpy as np
import pytest
import slicer
import vtk
from conftest import HEAD_SHAPE, HEAD_SPACING, add_head, fast_options, head_array, package

_AFFINE = np.diag([HEAD_SPACING, HEAD_SPACING, HEAD_SPACING, 1.0])
_AFFINE[:3, 3] = [-39, -47, -19]
_LANDMARK = (14, 30, 5)


def _rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(4)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def _reordered(array: np.ndarray, affine: np.ndarray, permutation: tuple[int, ...], flips: tuple[bool, ...]) -> Any:
    """The same image in space with its voxel axes reversed where told and then permuted."""
    backwards = np.eye(4)
    for axis in range(3):
        if flips[axis]:
            array = np.flip(array, axis)
            backwards[axis, axis], backwards[axis, 3] = -1, array.shape[axis] - 1
    return array.transpose(permutation), (affine @ backwards)[:, [*permutation, 3]]


_ANISOTROPIC = _AFFINE @ np.diag([1.0, 1.0, 2.5, 1.0])
_OBLIQUE = _rotation((8, -11, 14)) @ _AFFINE
_CASES = {
    "right-handed": (_AFFINE, (0, 1, 2), (False, False, False)),
    "left-handed": (_AFFINE, (0, 1, 2), (True, False, False)),
    "flipped": (_AFFINE, (0, 1, 2), (True, True, True)),
    "sagittal": (_AFFINE, (1, 2, 0), (False, True, False)),
    "left-handed coronal": (_AFFINE, (0, 2, 1), (False, False, False)),
    "oblique": (_OBLIQUE, (0, 1, 2), (False, False, False)),
    "oblique left-handed sagittal": (_OBLIQUE, (2, 1, 0), (True, False, True)),
    "anisotropic left-handed": (_ANISOTROPIC, (0, 1, 2), (False, True, False)),
    "anisotropic oblique": (_rotation((-5, 9, 20)) @ _ANISOTROPIC, (2, 0, 1), (True, True, False)),
}


def _load(folder: Path, array: np.ndarray, affine: np.ndarray) -> Any:
    """Through Slicer's own reader, from a file that it did not write."""
    path = folder / "scan.nii.gz"
    nib.save(nib.Nifti1Image(np.ascontiguousarray(array), affine), path)
    return slicer.util.loadVolume(str(path))


def _values_at(volume: Any, points: np.ndarray) -> np.ndarray:
    """Voxels nearest to points (N, 3) in world coordinates."""
    to_volume = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volume.GetParentTransformNode(), to_volume)
    local = np.array([to_volume.TransformPoint(point) for point in points])
    inverse = np.linalg.inv(package("Scene.Geometry").ijkToRas(volume))
    i, j, k = np.round(local @ inverse[:3, :3].T + inverse[:3, 3]).astype(int).T
    return slicer.util.arrayFromVolume(volume)[k, j, i]


def _voxel_centers(affine: np.ndarray) -> np.ndarray:
    voxels = np.array(list(itertools.product(*(range(0, size, 3) for size in HEAD_SHAPE))))
    return voxels @ affine[:3, :3].T + affine[:3, 3]


@pytest.fixture(scope="module")
def reference(checkpoint: Path, module: Any) -> dict[bytes, np.ndarray]:
    """Translations of heads on plain grids, sampled at the voxels' centers; each is made once."""
    return {}


def _expected(reference: dict[bytes, np.ndarray], checkpoint: Path, affine: np.ndarray, logic: Any) -> np.ndarray:
    key = affine.tobytes()
    if key not in reference:
        volume = slicer.util.addVolumeFromArray(head_array().transpose(2, 1, 0), affine, "plain")
        result = logic.translate(volume, **fast_options(checkpoint))
        reference[key] = _values_at(result.volume, _voxel_centers(affine))
    return reference[key]


@pytest.mark.parametrize("case", list(_CASES))
def test_a_result_is_the_same_in_the_world_for_every_orientation_of_the_file(
    case: str, logic: Any, checkpoint: Path, tmp_path: Path, reference: dict[bytes, np.ndarray]
) -> None:
    affine, permutation, flips = _CASES[case]
    volume = _load(tmp_path, *_reordered(head_array(), affine, permutation, flips))
    points = _voxel_centers(affine)
    np.testing.assert_allclose(_values_at(volume, points), head_array()[::3, ::3, ::3].ravel())
    result = logic.translate(volume, **fast_options(checkpoint))
    assert result.volume.GetImageData().GetDimensions() == volume.GetImageData().GetDimensions()
    np.testing.assert_array_equal(
        package("Scene.Geometry").ijkToRas(result.volume), package("Scene.Geometry").ijkToRas(volume), strict=True
    )
    found = _values_at(result.volume, points)
    assert found.std() > 0.05, "a flat translation would agree with anything"
    np.testing.assert_allclose(found, _expected(reference, checkpoint, affine, logic), atol=2e-3)


@pytest.mark.parametrize("case", list(_CASES))
def test_voxels_survive_the_way_to_the_worker_and_back(case: str, tmp_path: Path) -> None:
    affine, permutation, flips = _CASES[case]
    geometry = package("Scene.Geometry")
    volume = _load(tmp_path, *_reordered(head_array(), affine, permutation, flips))
    # What the worker does: nibabel reads, and writes on the same grid.
    geometry.writeVolume(volume, tmp_path / "source.nii")
    image = nib.load(tmp_path / "source.nii")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) * 2, None, image.header), tmp_path / "result.nii")
    read_back = geometry.readVolume(tmp_path / "result.nii", "vtkMRMLScalarVolumeNode")
    expected = slicer.util.arrayFromVolume(volume) * 2
    np.testing.assert_array_equal(geometry.arrayInOrderOf(volume, read_back), expected)


def test_a_left_handed_node_keeps_its_own_voxel_order(tmp_path: Path) -> None:
    affine = _AFFINE @ np.diag([1.0, 1.0, -1.0, 1.0])
    volume = slicer.util.addVolumeFromArray(head_array().transpose(2, 1, 0), affine, "left-handed")
    geometry = package("Scene.Geometry")
    geometry.writeVolume(volume, tmp_path / "volume.nii")
    read_back = geometry.readVolume(tmp_path / "volume.nii", "vtkMRMLScalarVolumeNode")
    assert np.linalg.det(geometry.ijkToRas(read_back)) > 0, "else this test shows nothing"
    np.testing.assert_array_equal(geometry.arrayInOrderOf(volume, read_back), slicer.util.arrayFromVolume(volume))


def _transformed(volume: Any) -> np.ndarray:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "pose")
    matrix = _rotation((20, 5, -30))
    matrix[:3, 3] = [12, -7, 31]
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    return matrix


def test_a_landmark_is_found_at_the_same_world_point_under_a_transform(logic: Any, checkpoint: Path) -> None:
    """The noise is the same in both runs, so that only the landmark makes a difference."""
    with_landmark, without = add_head("with", landmark=_LANDMARK), add_head("without")
    matrix = _transformed(with_landmark)
    without.SetAndObserveTransformNodeID(with_landmark.GetTransformNodeID())
    fast = fast_options(checkpoint)
    results = [logic.translate(volume, **fast).volume for volume in (with_landmark, without)]
    for result in results:
        assert result.GetTransformNodeID() == with_landmark.GetTransformNodeID()
    difference = np.abs(slicer.util.arrayFromVolume(results[0]) - slicer.util.arrayFromVolume(results[1]))
    weights = (difference * (difference > difference.max() / 4)).transpose(2, 1, 0)
    center = np.array([np.average(index, weights=weights) for index in np.indices(weights.shape)])
    world = (matrix @ package("Scene.Geometry").ijkToRas(results[0]) @ np.append(center, 1))[:3]
    expected = (matrix @ _AFFINE @ np.append(_LANDMARK, 1))[:3]
    assert np.linalg.norm(world - expected) < 3 * HEAD_SPACING, "a flip would move it by 18 mm or more"


def test_the_segmentation_lies_over_the_volume_under_a_transform(logic: Any, head: Any, checkpoint: Path) -> None:
    _transformed(head)
    result = logic.translate(head, **fast_options(checkpoint))
    assert result.segmentation.GetTransformNodeID() == head.GetTransformNodeID()
    translated = slicer.util.arrayFromVolume(result.volume)
    boundaries = [0.11, 0.275, 0.425, 0.6]  # between the tiny checkpoint's five centers
    for label in range(1, 6):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, f"Segment_{label}", result.volume)
        np.testing.assert_array_equal(mask > 0, np.digitize(translated, boundaries) == label - 1)


@pytest.mark.parametrize("kind", ["segmentation", "label map"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_brain_mask_is_used_where_it_lies_in_the_world(
    kind: str, moved: bool, logic: Any, head: Any, checkpoint: Path
) -> None:
    """The mask lies on a finer grid of its own, in another orientation, and shares no transform with the volume."""
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = [20, -10, -5]
    mask = slicer.util.addVolumeFromArray(np.ones((10, 20, 30), np.uint8), affine, "mask", "vtkMRMLLabelMapVolumeNode")
    world = affine
    if moved:
        world = _transformed(mask) @ affine
        head.SetAndObserveTransformNodeID(mask.GetTransformNodeID())
        head.HardenTransform()
        mask.SetAndObserveTransformNodeID(mask.GetTransformNodeID())
    if kind == "segmentation":
        labelmap, mask = mask, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "brain")
        slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labelmap, mask)
    nodes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    result = logic.translate(head, brainMask=mask, **fast_options(checkpoint))
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == nodes + 1
    union = sum(
        slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, f"Segment_{label}", result.volume)
        for label in (1, 2, 3)
    )
    head_to_world = package("Scene.Geometry").ijkToRas(head)
    to_mask = np.linalg.inv(world) @ head_to_world
    voxels = np.stack(np.indices(HEAD_SHAPE), -1) @ to_mask[:3, :3].T + to_mask[:3, 3]
    margin = 1.5  # of the mask's voxels: resampling may round either way at its border
    inside = ((voxels > margin) & (voxels < np.array([29, 19, 9]) - margin)).all(-1)
    outside = ((voxels < -margin) | (voxels > np.array([29, 19, 9]) + margin)).any(-1)
    assert inside.sum() > 50
    assert union.transpose(2, 1, 0)[inside].all()
    assert not union.transpose(2, 1, 0)[outside].any()


def test_a_mask_beside_the_volume_is_refused(logic: Any, head: Any, checkpoint: Path) -> None:
    affine = np.eye(4)
    affine[:3, 3] = 500
    mask = slicer.util.addVolumeFromArray(np.ones((9, 9, 9), np.uint8), affine, "far", "vtkMRMLLabelMapVolumeNode")
    with pytest.raises(package("Base.Errors").TranslationError, match="does not overlap"):
        logic.translate(head, brainMask=mask, **fast_options(checkpoint))


def test_the_slice_that_is_seen_is_the_slice_that_is_translated(logic: Any, checkpoint: Path, tmp_path: Path) -> None:
    """Counted from the feet, also in a file whose slices run the other way and under a transform."""
    volume = _load(tmp_path, *_reordered(head_array(), _AFFINE, (0, 1, 2), (False, True, True)))
    matrix = _transformed(volume)
    point = (matrix @ _AFFINE @ np.array([20, 24, 7, 1.0]))[:3]
    index = package("Scene.Geometry").axialSliceAt(volume, point)
    assert index == 7
    result = logic.translate(volume, **fast_options(checkpoint, slices=(index, index + 1)))
    filled = np.argwhere(slicer.util.arrayFromVolume(result.volume))
    kji_to_ras = package("Scene.Geometry").ijkToRas(volume)
    heights = (np.flip(filled, 1) @ kji_to_ras[:3, :3].T + kji_to_ras[:3, 3])[:, 2]
    assert set(np.round(heights, 3)) == {_AFFINE[2, 3] + 7 * HEAD_SPACING}
    assert package("Scene.Geometry").axialSliceAt(volume, point + 1000) is None


def _sheared() -> Any:
    affine = _AFFINE.copy()
    affine[0, 2] = 0.3
    return slicer.util.addVolumeFromArray(head_array().transpose(2, 1, 0), affine, "sheared")


def _colored() -> Any:
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "colored")
    image = vtk.vtkImageData()
    image.SetDimensions(40, 40, 10)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    volume.SetAndObserveImageData(image)
    return volume


def _filled(value: float, shape: tuple[int, int, int] = (10, 40, 40)) -> Any:
    array = np.zeros(shape, np.float32)
    array[0, 0, 0] = value
    return slicer.util.addVolumeFromArray(array, np.diag([2.0, 2, 2, 1]), "filled")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_sheared, "sheared"),
        (_colored, "3 values in each voxel"),
        (lambda: _filled(0), "same value"),
        (lambda: _filled(np.nan), "same value"),
        (lambda: slicer.util.addVolumeFromArray(np.full((10, 40, 40), np.nan), None, "gaps"), "nothing but NaN"),
        (lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"), "holds no image"),
        (lambda: _filled(1, (40, 10, 40)), "too thin"),
        (lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels"), "no scalar volume"),
    ],
)
def test_volumes_that_cannot_be_translated_are_refused_with_the_reason(
    make: Any, reason: str, logic: Any, checkpoint: Path
) -> None:
    with pytest.raises(package("Base.Errors").TranslationError, match=reason):
        logic.translate(make(), **fast_options(checkpoint))


def test_the_users_node_keeps_its_file(logic: Any, checkpoint: Path, tmp_path: Path) -> None:
    volume = _load(tmp_path, head_array(), _AFFINE)
    storage, file = volume.GetStorageNode(), volume.GetStorageNode().GetFileName()
    modified = volume.GetModifiedSinceRead()
    logic.translate(volume, **fast_options(checkpoint))
    assert volume.GetStorageNode() is storage
    assert storage.GetFileName() == file
    assert volume.GetModifiedSinceRead() == modified
    host.processEvents(0)
