"""Volume nodes as files, and the places of their voxels in the world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LMIDiffusionLib.interface.checkpoint_header import MINIMUM_PIXELS

from ..Base.Errors import TranslationError

_AXIS_LETTERS = ("LR", "PA", "IS")
# Cosine of the angle between two voxel axes, above which NIfTI cannot hold them; about 0.06 degrees.
_MAXIMUM_SHEAR = 1e-3


def ijkToRas(volume) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def describeVolume(volume) -> str:
    """Return size, spacing and orientation in a line."""
    size = " x ".join(str(count) for count in _dimensions(volume))
    spacing = " x ".join(f"{value:.3g}" for value in volume.GetSpacing())
    return _("{size} voxels of {spacing} mm, {orientation}").format(
        size=size, spacing=spacing, orientation=_orientationName(volume)
    )


def _orientationName(volume) -> str:
    """Return the directions of the voxel axes, such as LPS."""
    letters = "".join(_AXIS_LETTERS[world][int(forwards)] for world, forwards in _worldAxes(volume))
    if np.abs(_directions(volume)).max(axis=0).min() < 0.9999:
        return _("{axes} (oblique)").format(axes=letters)
    return letters


def whyNotTranslatable(volume) -> str | None:
    """Return what is wrong with a volume and what to do about it; None if it can be translated."""
    if not volume.IsA("vtkMRMLScalarVolumeNode") or volume.IsA("vtkMRMLLabelMapVolumeNode"):
        return _("{name} is no scalar volume; choose an MR volume.").format(name=volume.GetName())
    image = volume.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        return _("{name} holds no image; load it again.").format(name=volume.GetName())
    if image.GetNumberOfScalarComponents() != 1:
        return _("{name} has {count} values in each voxel (colors or time points); extract one of them.").format(
            name=volume.GetName(), count=image.GetNumberOfScalarComponents()
        )
    return _whyBadGeometry(volume) or _whyBadValues(volume)


def _whyBadGeometry(volume) -> str | None:
    directions = _directions(volume)
    if not np.isfinite(directions).all() or min(volume.GetSpacing()) <= 0:
        return _("{name} has no valid position in space; repair its header.").format(name=volume.GetName())
    shear = np.abs(directions.T @ directions - np.eye(3)).max()
    if shear > _MAXIMUM_SHEAR:
        return _("{name} is sheared: its axes are not at right angles; resample it to a plain grid first.").format(
            name=volume.GetName()
        )
    return None


def _whyBadValues(volume) -> str | None:
    """Return what is wrong with the values; all voxels are read, once for each version of a volume."""
    version = (volume.GetID(), volume.GetName(), volume.GetMTime(), volume.GetImageData().GetMTime())
    if _lastLook[:1] != [version]:
        _lastLook[:] = [version, _lookAtVoxels(volume)]
    return _lastLook[1]


# The version of the volume looked at last, and what was found.
_lastLook: list = []


def _lookAtVoxels(volume) -> str | None:
    array = slicer.util.arrayFromVolume(volume)
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if finite.size == 0:
        return _("{name} holds nothing but NaN or infinite values; choose a volume with an image in it.").format(
            name=volume.GetName()
        )
    if finite.min() == finite.max():
        return _("{name} has the same value in every voxel; choose a volume with an image in it.").format(
            name=volume.GetName()
        )
    return None


def whyTooThin(volume, pixelSize: float) -> str | None:
    """Return why the axial slices are too small for a head in a checkpoint's pixels; None if they are not."""
    extents = [count * step for count, step in zip(_dimensions(volume), volume.GetSpacing(), strict=True)]
    axial = axialAxis(volume)[0]
    smallest = min(extent for axis, extent in enumerate(extents) if axis != axial)
    needed = MINIMUM_PIXELS * pixelSize
    if smallest >= needed:
        return None
    return _("{name} is too thin: its axial slices span {found:.0f} mm one way and need {needed:.0f} mm.").format(
        name=volume.GetName(), found=smallest, needed=needed
    )


def _dimensions(volume) -> tuple[int, int, int]:
    return volume.GetImageData().GetDimensions()


def _directions(volume) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASDirectionMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)[:3, :3]


def _worldAxes(volume) -> list[tuple[int, bool]]:
    """Return for each voxel axis the closest world axis (0 for right), and whether it runs along it.

    Chosen as the library does, so that both count the same slices: the axis with the largest cosine chooses first.
    """
    directions = _directions(volume)
    cosines = np.abs(directions)
    axes = {}
    for column in np.argsort(-cosines.max(axis=0), kind="stable"):
        row = int(cosines[:, column].argmax())
        axes[int(column)] = (row, bool(directions[row, column] > 0))
        cosines[row, :] = 0
    return [axes[column] for column in range(3)]


def axialAxis(volume) -> tuple[int, bool]:
    """Return the voxel axis (0 for I) closest to feet-head, and whether it runs toward the head."""
    return next((axis, upwards) for axis, (world, upwards) in enumerate(_worldAxes(volume)) if world == 2)


def axialSliceCount(volume) -> int:
    return _dimensions(volume)[axialAxis(volume)[0]]


def axialSliceAt(volume, worldPoint) -> int | None:
    """Return the number, from the feet up, of the axial slice at a world point; None outside the volume."""
    worldToVolume = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volume.GetParentTransformNode(), worldToVolume)
    ras = np.append(worldToVolume.TransformPoint(worldPoint), 1.0)
    axis, upwards = axialAxis(volume)
    index = round(float((np.linalg.inv(ijkToRas(volume)) @ ras)[axis]))
    count = axialSliceCount(volume)
    if not 0 <= index < count:
        return None
    return index if upwards else count - 1 - index


def writeVolume(volume, path: Path) -> None:
    """Write a volume with a storage node of our own, so that the node's own file name and state stay as they are."""
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    storage.SetUseCompression(False)
    if not storage.WriteData(volume):
        raise TranslationError(
            _("The volume cannot be written to {folder}; free space or choose another temporary folder.").format(
                folder=path.parent
            )
        )


def readVolume(path: Path, nodeClass: str):
    """Read a file into a volume node outside the scene."""
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    volume = getattr(slicer, nodeClass)()
    if not path.is_file() or not storage.ReadData(volume):
        raise TranslationError(_("The result {file} is missing or cannot be read.").format(file=path.name))
    return volume


def arrayInOrderOf(source, volume) -> np.ndarray:
    """Return the voxels (KJI) of a volume on the source's grid, in the order of the source's voxels.

    The same file may come back with another voxel order, as Slicer's reader reverses the slices of left-handed files:
    only the way through world coordinates tells which voxel is which.
    """
    toSource = np.linalg.inv(ijkToRas(source)) @ ijkToRas(volume)
    axes, offset = np.round(toSource[:3, :3]).astype(int), np.round(toSource[:3, 3]).astype(int)
    isPermutation = (np.abs(axes).sum(axis=0) == 1).all() and (np.abs(axes).sum(axis=1) == 1).all()
    sameGrid = isPermutation and np.allclose(toSource[:3, :3], axes, atol=1e-3)
    if not sameGrid or not np.allclose(toSource[:3, 3], offset, atol=0.1):
        raise TranslationError(_("The result lies on another grid than the source; please report this."))
    array = slicer.util.arrayFromVolume(volume).transpose(2, 1, 0).transpose(np.abs(axes).argmax(axis=1))
    reversedAxes = [axis for axis in range(3) if axes[axis].sum() < 0]
    expected = [size - 1 if axis in reversedAxes else 0 for axis, size in enumerate(array.shape)]
    if array.shape != tuple(_dimensions(source)) or offset.tolist() != expected:
        raise TranslationError(_("The result has another size than the source; please report this."))
    return np.ascontiguousarray(np.flip(array, tuple(reversedAxes)).transpose(2, 1, 0))


def writeMask(mask, source, path: Path) -> None:
    """Write a segmentation or label map as a mask on the source's grid, wherever in the world it lies."""
    scene = slicer.mrmlScene
    temporary: list[slicer.vtkMRMLNode] = []
    try:
        segmentation = mask
        if mask.IsA("vtkMRMLLabelMapVolumeNode"):
            segmentation = _temporaryNode("vtkMRMLSegmentationNode", temporary)
            _logic().ImportLabelmapToSegmentationNode(mask, segmentation)
        labelmap = _temporaryNode("vtkMRMLLabelMapVolumeNode", temporary)
        if not _exportAllSegments(segmentation, labelmap, source):
            raise TranslationError(_("The brain mask {name} is empty; choose another.").format(name=mask.GetName()))
        array = slicer.util.arrayFromVolume(labelmap)
        if array.shape != slicer.util.arrayFromVolume(source).shape or not array.any():
            raise TranslationError(
                _("The brain mask {name} does not overlap the volume; choose another.").format(name=mask.GetName())
            )
        writeVolume(labelmap, path)
    finally:
        for node in temporary:
            scene.RemoveNode(node)


def _temporaryNode(nodeClass: str, temporary: list):
    node = slicer.mrmlScene.CreateNodeByClass(nodeClass)
    node.UnRegister(None)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    temporary.append(slicer.mrmlScene.AddNode(node))
    return temporary[-1]


def _exportAllSegments(segmentation, labelmap, source) -> bool:
    """Fill the label map on the grid and under the transform of the source; tell whether there was a segment."""
    identifiers = vtk.vtkStringArray()
    segmentation.GetSegmentation().GetSegmentIDs(identifiers)
    return identifiers.GetNumberOfValues() > 0 and _logic().ExportSegmentsToLabelmapNode(
        segmentation, identifiers, labelmap, source, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    )


def _logic():
    return slicer.vtkSlicerSegmentationsModuleLogic
