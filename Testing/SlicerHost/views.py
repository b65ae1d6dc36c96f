"""Slice and 3D views on Slicer's own displayable managers, rendered off screen, and their layout manager."""

from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

_MANAGERS_2D = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
)
_MANAGERS_3D = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)


class _View:
    def __init__(self, node: Any, factory: Any, managers: tuple[str, ...], size: tuple[int, int]):
        self.node = node
        self.renderer = vtk.vtkRenderer()
        self._renderWindow = vtk.vtkRenderWindow()
        self._renderWindow.SetOffScreenRendering(1)
        self._renderWindow.SetShowWindow(False)
        self._renderWindow.SetSize(*size)
        self._renderWindow.SetMultiSamples(0)
        self._renderWindow.AddRenderer(self.renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._renderWindow)
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.SetRenderer(self.renderer)
        self._managers.Initialize(factory, self.renderer)
        self._managers.SetMRMLDisplayableNode(node)

    def renderWindow(self) -> Any:
        return self._renderWindow

    def forceRender(self) -> None:
        self._renderWindow.Render()

    def pixels(self) -> np.ndarray:
        """Return the picture: (height, width, 3) bytes, top row first."""
        image = self._image()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1].copy()

    def png(self, path: Path | str) -> None:
        """Write the picture."""
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputData(self._image())
        writer.Write()

    def _image(self) -> Any:
        if slicer.app.isRenderPaused():
            raise RuntimeError("Rendering is paused: resumeRender has not been called")
        self.forceRender()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._renderWindow)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        return grabber.GetOutput()


class SliceView(_View):
    """One slice view; the image layers, which CTK draws in the application, are drawn here."""

    def __init__(self, node: Any, size: tuple[int, int]):
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        super().__init__(node, factory, _MANAGERS_2D, size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self.logic = _sliceLogic(node)
        self.logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)
        self.logic.ResizeSliceNode(*size)
        self._onModified()

    def _onModified(self, _caller: Any = None, _event: str = "") -> None:
        connection = self.logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        if connection is not None and not self.renderer.HasViewProp(self._actor):
            self.renderer.AddViewProp(self._actor)
        self._actor.SetVisibility(connection is not None)

    def fit(self) -> None:
        """Show all of the background volume, at its middle slice."""
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()


def _sliceLogic(node: Any) -> Any:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    slicer.app.applicationLogic().GetSliceLogics().AddItem(logic)
    logic.SetMRMLScene(slicer.mrmlScene)
    logic.SetSliceNode(node)
    return logic


class ThreeDView(_View):
    def __init__(self, node: Any, size: tuple[int, int]):
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        super().__init__(node, factory, _MANAGERS_3D, size)
        # As qMRMLThreeDView does: surfaces behind transparent ones are drawn in their order.
        self.renderer.SetUseDepthPeeling(node.GetUseDepthPeeling())
        self._renderWindow.SetAlphaBitPlanes(1)

    def fit(self) -> None:
        """Look at all there is."""
        self.node.SetBoxVisible(0)
        self.node.SetAxisLabelsVisible(0)
        self.resetFocalPoint()

    def resetFocalPoint(self) -> None:
        self.renderer.ResetCamera()

    def mrmlViewNode(self) -> Any:
        return self.node


class SliceWidget:
    def __init__(self, view: SliceView):
        self._view = view

    def sliceView(self) -> SliceView:
        return self._view

    def sliceLogic(self) -> Any:
        return self._view.logic

    def mrmlSliceNode(self) -> Any:
        return self._view.node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._view.logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._view.logic.FitSliceToBackground()


class ThreeDWidget:
    def __init__(self, view: ThreeDView):
        self._view = view

    def threeDView(self) -> ThreeDView:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.node


@qt.standIn
class qMRMLLayoutManager(qt.QObject):
    """Has the three slice views and the 3D view that Slicer starts with; the layout is kept in the real layout node."""

    def __init__(self, size: tuple[int, int]):
        super().__init__()
        scene = slicer.mrmlScene
        self._layoutLogic = slicer.vtkMRMLLayoutLogic()
        self._layoutLogic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._layoutLogic.SetMRMLScene(scene)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._sliceWidgets = {}
        for name in ("Red", "Yellow", "Green"):
            node = scene.GetNodeByID(f"vtkMRMLSliceNode{name}")
            self._sliceWidgets[name] = SliceWidget(SliceView(node, size))
        self._threeDWidgets = [ThreeDWidget(ThreeDView(scene.GetNodeByID("vtkMRMLViewNode1"), size))]

    def layoutLogic(self) -> Any:
        return self._layoutLogic

    def setLayout(self, arrangement: int) -> None:
        self._layoutLogic.GetLayoutNode().SetViewArrangement(arrangement)

    layout = qt.Property(int, lambda self: self._layoutLogic.GetLayoutNode().GetViewArrangement(), setLayout)
    threeDViewCount = qt.Property(int, lambda self: len(self._threeDWidgets))
    tableViewCount = qt.Property(int, lambda self: 0)
    plotViewCount = qt.Property(int, lambda self: 0)

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._sliceWidgets)

    def sliceWidget(self, name: str) -> SliceWidget:
        if name not in self._sliceWidgets:
            raise NotImplementedError(f"The host has the slice views {self.sliceViewNames()}, but not '{name}'")
        return self._sliceWidgets[name]

    def threeDWidget(self, index: int) -> ThreeDWidget:
        return self._threeDWidgets[index]

    def mrmlSliceLogics(self) -> Any:
        return slicer.app.applicationLogic().GetSliceLogics()

    def resetSliceViews(self) -> None:
        for widget in self._sliceWidgets.values():
            widget.sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for widget in self._threeDWidgets:
            widget.threeDView().resetFocalPoint()
