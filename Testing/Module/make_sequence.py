"""Sequences of small heads."""

from typing import Any

import slicer
from conftest import HEAD_SPACING, head_array


def add_sequence(count: int = 3) -> Any:
    """A sequence of heads that grow brighter, its browser and the volume that shows a frame; returns the volume."""
    scene = slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "dynamic")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for number in range(count):
        frame = slicer.vtkMRMLScalarVolumeNode()
        frame.SetName("dynamic")
        slicer.util.updateVolumeFromArray(frame, head_array().transpose(2, 1, 0) ** (1 - 0.1 * number))
        frame.SetSpacing(*[HEAD_SPACING] * 3)
        frame.SetOrigin(-39, -47, -19)
        sequence.SetDataNodeAtValue(frame, str(0.5 * number))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.AddSynchronizedSequenceNode(sequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    volume = browser.GetProxyNode(sequence)
    return volume
