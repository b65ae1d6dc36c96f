"""Slice and 3D views on Slicer's own displayable managers, rendered off screen."""

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
    def __init__(self, factory, managers, size):
        self.renderer = vtk.vtkRenderer()
        self.renderWindow = vtk.vtkRenderWindow()
        self.renderWindow.SetOffScreenRendering(1)
        self.renderWindow.SetShowWindow(False)
        self.renderWindow.SetSize(*size)
        self.renderWindow.SetMultiSamples(0)
        self.renderWindow.AddRenderer(self.renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.renderWindow)
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.SetRenderer(self.renderer)
        self._managers.Initialize(factory, self.renderer)

    def _image(self):
        self.renderWindow.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self.renderWindow)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        return grabber.GetOutput()

    def pixels(self):
        """What is seen, (height, width, 3) bytes, top row first."""
        image = self._image()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1].copy()

    def png(self, path):
        """Write what is seen."""
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputData(self._image())
        writer.Write()


class SliceView(_View):
    """One slice view; the image layers, which CTK draws in the application, are drawn here."""

    def __init__(self, name, orientation, size):
        super().__init__(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), _MANAGERS_2D, size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        applicationLogic = slicer.app.applicationLogic()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(applicationLogic)
        applicationLogic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self._managers.SetMRMLDisplayableNode(self.node)
        self.logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)

    def _onModified(self, _caller, _event):
        connection = self.logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        if connection is not None and not self.renderer.HasViewProp(self._actor):
            self.renderer.AddViewProp(self._actor)
        self._actor.SetVisibility(connection is not None)

    def fit(self):
        """Show all of the background volume, at its middle slice."""
        self.logic.ResizeSliceNode(*self.renderWindow.GetSize())
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()


class ThreeDView(_View):
    def __init__(self, size):
        super().__init__(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), _MANAGERS_3D, size)
        applicationLogic = slicer.app.applicationLogic()
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(applicationLogic)
        applicationLogic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddViewNode("1")
        self._managers.SetMRMLDisplayableNode(self.node)

    def fit(self):
        """Look at all there is."""
        self.node.SetBoxVisible(0)
        self.node.SetAxisLabelsVisible(0)
        self.renderer.ResetCamera()
