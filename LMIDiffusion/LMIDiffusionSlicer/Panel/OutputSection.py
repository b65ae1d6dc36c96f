"""Outputs that the panel offers: names of new ones, and those that a run has created, which follow the source."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ..Scene.Results import isAutomatic

_OUTPUTS = ("outputVolume", "outputSegmentation", "uncertaintyVolume", "drawVolume")


class OutputSection(VTKObservationMixin):
    def __init__(self, ui):
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._parameterNode = None
        self._lost: list[str] = []
        self._translated: tuple | None = None
        scene = slicer.mrmlScene
        # The first before the selectors, the second after them: they turn to another node when theirs is removed.
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved, priority=1.0)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved, priority=-1.0)

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode
        self._translated = None if parameterNode is None else self._toTranslate()

    def stop(self) -> None:
        self.removeObservers()

    def update(self) -> None:
        node = self._parameterNode
        if self._toTranslate() != self._translated:
            self._translated = self._toTranslate()
            self._release()
        self._ui.uncertaintySelector.setEnabled(node.uncertainty)
        self._ui.drawSelector.setEnabled(node.draw)
        self._nameNew()

    def _toTranslate(self) -> tuple:
        source = self._parameterNode.sourceVolume
        return (None if source is None else source.GetID(), self._parameterNode.allFrames)

    def _release(self) -> None:
        """Let go of outputs that a run has created of the source before; those that the user has chosen stay."""
        for name in _OUTPUTS:
            if isAutomatic(self._parameterNode.getValue(name)):
                self._parameterNode.setValue(name, None)

    def _nameNew(self) -> None:
        source = self._parameterNode.sourceVolume
        name = "" if source is None else _("{source} translated").format(source=source.GetName())
        for selector, baseName in (
            (self._ui.outputVolumeSelector, name),
            (self._ui.outputSegmentationSelector, _("{name} segmentation").format(name=name)),
            (self._ui.uncertaintySelector, _("{name} uncertainty").format(name=name)),
            (self._ui.drawSelector, _("{name} one sample").format(name=name)),
        ):
            selector.baseName = baseName if name else ""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _caller, _event, node) -> None:
        if self._parameterNode is not None:
            self._lost = [name for name in _OUTPUTS if self._parameterNode.getValue(name) is node]

    def _onNodeRemoved(self, _caller, _event) -> None:
        for name in self._lost if self._parameterNode is not None else ():
            self._parameterNode.setValue(name, None)
        self._lost = []
