"""Requests: a volume to translate, its options, and the nodes for its results."""

from __future__ import annotations

from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from LMIDiffusionLib.interface.checkpoint_header import CheckpointHeader

from ..Base.Checkpoints import readSummary, resolveCheckpoint
from ..Base.Dependencies import BRAIN_FINDER
from ..Base.Errors import TranslationError
from ..Base.Presets import AUTOMATIC, DEFAULT_QUALITY, PRESETS, Clusters, Sampler
from .Geometry import whyNotTranslatable, whyTooThin

_DEFAULT = PRESETS[DEFAULT_QUALITY]


@dataclass(frozen=True)
class TranslationRequest:
    """One volume to translate; outputs that are None are created when there is a result.

    :param outputVolume: is given the translation, as the other outputs are given what their names say.
    :param uncertainty: also compute the expected error of each voxel.
    :param draw: also compute one draw, which is sharp, and whose details are made up.
    :param brainMask: segmentation or label map; segments tissues inside it instead of intensity classes.
    :param findBrain: without a mask: find the brain in the translation, and segment its tissues.
    :param checkpoint: name in the list or path; empty for the default.
    :param slices: axial slices [first, stop) from the feet up; None for all.
    :param batchSize: slices at once; None fits the device.
    """

    sourceVolume: slicer.vtkMRMLScalarVolumeNode | None
    outputVolume: slicer.vtkMRMLScalarVolumeNode | None = None
    outputSegmentation: slicer.vtkMRMLSegmentationNode | None = None
    uncertainty: bool = False
    outputUncertainty: slicer.vtkMRMLScalarVolumeNode | None = None
    draw: bool = False
    outputDraw: slicer.vtkMRMLScalarVolumeNode | None = None
    brainMask: slicer.vtkMRMLNode | None = None
    findBrain: bool = False
    checkpoint: str = ""
    sampler: Sampler = _DEFAULT.sampler
    steps: int = _DEFAULT.steps
    samples: int = _DEFAULT.samples
    seed: int = 0
    clusters: Clusters = Clusters.FIVE
    slices: tuple[int, int] | None = None
    device: str = AUTOMATIC
    batchSize: int | None = None

    def problem(self) -> str | None:
        """Return why it cannot be translated and what to do about it; None if it can."""
        return self.sourceProblem() or self._outputProblem() or self._checkpointProblem()

    def sourceProblem(self) -> str | None:
        """Return the problem of the source volume alone, as `problem` does."""
        if self.sourceVolume is None:
            return _("Choose a volume, or load the sample scan.")
        return whyNotTranslatable(self.sourceVolume)

    def optionalPackages(self) -> list[str]:
        """Return requirements besides those of every translation."""
        return [BRAIN_FINDER] if self.findBrain else []

    def summary(self) -> CheckpointHeader:
        """Read the description in the checkpoint.

        :raises TranslationError: there is no such checkpoint, or it is damaged.
        """
        return readSummary(resolveCheckpoint(self.checkpoint))

    def _outputProblem(self) -> str | None:
        volumes = (self.outputVolume, self.outputUncertainty, self.outputDraw)
        outputs = [each for each in volumes if each is not None]
        if self.sourceVolume in outputs:
            return _("The source volume is chosen as an output too; choose another output.")
        if len(set(outputs)) < len(outputs):
            return _("Two results have the same output; choose another for one of them.")
        if self.brainMask is not None and self.brainMask is self.outputSegmentation:
            return _("The brain mask is chosen as the output segmentation too; choose another output.")
        if self.findBrain and self.slices is not None:
            return _("The brain is found in whole volumes alone; translate all slices, or do without finding it.")
        return None

    def _checkpointProblem(self) -> str | None:
        try:
            summary = self.summary()
        except TranslationError as error:
            return str(error)
        if self.brainMask is not None and not summary.knows_tissues:
            return _("This checkpoint was trained without brain masks; leave out the brain mask.")
        if self.findBrain and not summary.knows_tissues:
            return _("This checkpoint was trained without brain masks; do without finding the brain.")
        isClasses = self.brainMask is None and not self.findBrain
        if isClasses and self.clusters.value not in summary.class_counts:
            counts = ", ".join(str(count) for count in summary.class_counts)
            return _("This checkpoint knows {counts} intensity classes; choose that under Advanced.").format(
                counts=counts
            )
        return whyTooThin(self.sourceVolume, summary.pixel_size)
