"""Events of the application that end a run: the scene is closed, an input is deleted, Slicer quits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import slicer
from slicer.i18n import tr as _


class RunGuard:
    """
    :param inputs: nodes whose deletion ends the run.
    :param cancel: called with the reason.
    """

    def __init__(self, inputs: Sequence[slicer.vtkMRMLNode], cancel: Callable[[str], None]):
        self._inputs = list(inputs)
        self._cancel = cancel
        self._observers: list[int] = []

    def start(self) -> None:
        scene = slicer.mrmlScene
        self._observers = [
            scene.AddObserver(scene.StartCloseEvent, self._onSceneClosing),
            scene.AddObserver(scene.NodeRemovedEvent, self._onNodeRemoved),
        ]
        slicer.app.connect("aboutToQuit()", self._onQuit)

    def stop(self) -> None:
        if self._observers:
            for tag in self._observers:
                slicer.mrmlScene.RemoveObserver(tag)
            self._observers = []
            slicer.app.disconnect("aboutToQuit()", self._onQuit)

    def _onSceneClosing(self, _caller, _event) -> None:
        self._cancel(_("The scene was closed, which ended the translation."))

    def _onNodeRemoved(self, _caller, _event) -> None:
        if any(node.GetScene() is None for node in self._inputs):
            self._cancel(_("The source volume was deleted, which ended the translation."))

    def _onQuit(self) -> None:
        self._cancel("")
