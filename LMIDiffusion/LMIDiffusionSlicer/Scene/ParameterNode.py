"""Parameters of the panel, saved with the scene."""

import pathlib
from enum import Enum
from typing import Annotated, get_type_hints

from slicer import vtkMRMLNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Decimals, SingleStep, WithinRange, parameterNodeWrapper

from ..Base.Presets import (
    AUTOMATIC,
    DEFAULT_QUALITY,
    PRESETS,
    Clusters,
    Quality,
    Sampler,
    SegmentStyle,
    ViewMode,
)

_DEFAULT = PRESETS[DEFAULT_QUALITY]
# Without a step of its own, a ctkSliderWidget stops at whole numbers alone.
_Share = Annotated[float, WithinRange(0.0, 1.0), SingleStep(0.01), Decimals(2)]


@parameterNodeWrapper
class LMIDiffusionParameterNode:
    sourceVolume: vtkMRMLScalarVolumeNode
    brainMask: vtkMRMLNode  # a segmentation or a label map
    findBrain: bool = False
    allFrames: bool = False
    checkpoint: str = ""  # name in the list; empty for the default
    useCheckpointFile: bool = False
    checkpointFile: pathlib.Path
    outputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    uncertainty: bool = False
    uncertaintyVolume: vtkMRMLScalarVolumeNode
    draw: bool = False
    drawVolume: vtkMRMLScalarVolumeNode
    quality: Quality = DEFAULT_QUALITY
    sampler: Sampler = _DEFAULT.sampler
    steps: Annotated[int, WithinRange(1, 5000)] = _DEFAULT.steps
    samples: Annotated[int, WithinRange(1, 64)] = _DEFAULT.samples
    seed: Annotated[int, WithinRange(0, 2**31 - 1)] = 0
    clusters: Clusters = Clusters.FIVE
    limitSlices: bool = False
    firstSlice: Annotated[int, WithinRange(0, 9999)] = 0
    lastSlice: Annotated[int, WithinRange(0, 9999)] = 0
    device: str = AUTOMATIC
    batchSize: Annotated[int, WithinRange(0, 512)] = 0  # 0 fits the device
    viewMode: ViewMode = ViewMode.BLENDED
    swapped: bool = False
    translationOpacity: _Share = 1.0
    segmentStyle: SegmentStyle = SegmentStyle.FILLED
    segmentationOpacity: _Share = 1.0
    # What the Result part shows: the last translation or preview.
    resultVolume: vtkMRMLScalarVolumeNode
    resultSegmentation: vtkMRMLSegmentationNode
    # A preview never touches the chosen outputs.
    previewVolume: vtkMRMLScalarVolumeNode
    previewSegmentation: vtkMRMLSegmentationNode


def dropUnknownChoices(node) -> None:
    """Unset choices that this version lacks, as a scene of a newer one may name; they would stop the wrapper."""
    for name, kind in get_type_hints(LMIDiffusionParameterNode).items():
        isChoice = isinstance(kind, type) and issubclass(kind, Enum)
        if isChoice and node.GetParameter(name) not in ("", *kind.__members__):
            node.UnsetParameter(name)
