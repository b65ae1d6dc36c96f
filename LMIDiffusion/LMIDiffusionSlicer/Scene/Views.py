"""Arrangements of the slice views: source and translation blended, or side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import slicer
import vtk

from .Geometry import axialSliceAt

_LEFT, _RIGHT = "Red", "Yellow"


@dataclass(frozen=True)
class Arrangement:
    """Two volumes by node ID: `first` lies below or on the left, `second` above or on the right."""

    first: str
    second: str
    opacity: float
    sideBySide: bool = False

    def swapped(self) -> Arrangement:
        return replace(self, first=self.second, second=self.first)


class SliceViews:
    """Shows arrangements, and puts the layout back when it leaves side by side."""

    def __init__(self):
        self._before: _Layout | None = None

    def show(self, arrangement: Arrangement) -> None:
        if arrangement.sideBySide:
            self._showSideBySide(arrangement)
        else:
            self.restoreLayout()
            slicer.util.setSliceViewerLayers(
                background=arrangement.first,
                foreground=arrangement.second,
                foregroundOpacity=arrangement.opacity,
                fit=not _isShown(arrangement),
            )

    def restoreLayout(self) -> None:
        if self._before is not None:
            self._before.restore()
            self._before = None

    def _showSideBySide(self, arrangement: Arrangement) -> None:
        if self._before is None:
            self._before = _Layout.current()
            layout = _layoutNode()
            if layout is not None:
                layout.SetViewArrangement(layout.SlicerLayoutSideBySideView)
            _alignRightWithLeft()
        for name, volumeID in ((_LEFT, arrangement.first), (_RIGHT, arrangement.second)):
            composite = _compositeNode(name)
            if composite is not None:
                composite.SetBackgroundVolumeID(volumeID)
                composite.SetForegroundVolumeID(None)
                composite.SetLinkedControl(True)


@dataclass(frozen=True)
class _Layout:
    """State of the views that side by side changes."""

    arrangement: int | None
    rightToRAS: vtk.vtkMatrix4x4 | None
    rightFieldOfView: tuple[float, float, float] | None
    linked: tuple[tuple[str, int], ...]

    @classmethod
    def current(cls) -> _Layout:
        layout, right = _layoutNode(), _sliceNode(_RIGHT)
        composites = ((name, _compositeNode(name)) for name in (_LEFT, _RIGHT))
        return cls(
            arrangement=layout.GetViewArrangement() if layout is not None else None,
            rightToRAS=_copyOf(right.GetSliceToRAS()) if right is not None else None,
            rightFieldOfView=tuple(right.GetFieldOfView()) if right is not None else None,
            linked=tuple((name, node.GetLinkedControl()) for name, node in composites if node is not None),
        )

    def restore(self) -> None:
        layout, right = _layoutNode(), _sliceNode(_RIGHT)
        for name, linked in self.linked:
            composite = _compositeNode(name)
            if composite is not None:
                composite.SetLinkedControl(linked)
        if right is not None and self.rightToRAS is not None:
            _setPlane(right, self.rightToRAS)
            right.SetFieldOfView(*self.rightFieldOfView)
        if layout is not None and self.arrangement is not None:
            layout.SetViewArrangement(self.arrangement)


def _alignRightWithLeft() -> None:
    left, right = _sliceNode(_LEFT), _sliceNode(_RIGHT)
    if left is not None and right is not None:
        _setPlane(right, left.GetSliceToRAS())
        right.SetFieldOfView(*left.GetFieldOfView())


def _setPlane(view, sliceToRAS: vtk.vtkMatrix4x4) -> None:
    """Set the plane by its matrix: an oblique plane has no name."""
    view.GetSliceToRAS().DeepCopy(sliceToRAS)
    view.UpdateMatrices()


def _copyOf(matrix: vtk.vtkMatrix4x4) -> vtk.vtkMatrix4x4:
    copy = vtk.vtkMatrix4x4()
    copy.DeepCopy(matrix)
    return copy


def _isShown(arrangement: Arrangement) -> bool:
    """Tell whether a view shows one of the volumes, so that its zoom and position are the user's own."""
    wanted = {arrangement.first, arrangement.second}
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return any({each.GetBackgroundVolumeID(), each.GetForegroundVolumeID()} & wanted for each in composites)


def currentAxialSlice(volume) -> int | None:
    """Return the number, from the feet up, of the volume's axial slice in the middle of the red view."""
    view = _sliceNode(_LEFT)
    if view is None:
        return None
    matrix = view.GetSliceToRAS()
    return axialSliceAt(volume, [matrix.GetElement(row, 3) for row in range(3)])


def _layoutNode():
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def _sliceNode(name: str):
    return slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}")


def _compositeNode(name: str):
    return slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceCompositeNode{name}")
