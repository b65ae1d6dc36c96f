"""Presets of sampler, steps and samples."""

from __future__ import annotations

from ..Base.Presets import PRESETS, Preset, Quality


class QualitySection:
    """Applies a newly chosen preset; changing one of its values by hand makes the preset *Custom*."""

    def __init__(self):
        self._parameterNode = None
        self._quality: Quality | None = None

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode
        # A preset in the scene has been applied already; its values may have been changed since.
        self._quality = None if parameterNode is None else parameterNode.quality

    def stop(self) -> None:
        pass

    def update(self) -> None:
        node = self._parameterNode
        preset = PRESETS.get(node.quality)
        if preset is not None and node.quality != self._quality:
            node.sampler, node.steps, node.samples = preset.sampler, preset.steps, preset.samples
        elif preset is not None and preset != Preset(node.sampler, node.steps, node.samples):
            node.quality = Quality.CUSTOM
        self._quality = node.quality
