"""Rigid registration of two scans of one head, with SimpleITK."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ...intensity import head_mask

_HISTOGRAM_BINS = 32
_SAMPLING_SHARE = 0.3
_LEVELS = (6.0, 3.0)  # voxel sizes in millimetres, from coarse to fine
_SEED = 1


@dataclass(frozen=True)
class Registration:
    """A source resampled onto its target.

    Attributes:
        source: on the target's grid, 0 outside its field of view.
        field_of_view: 1 where the source was scanned.
        overlap: Dice of the two heads where both were scanned, the figure by which failures are told.
    """

    source: sitk.Image
    field_of_view: sitk.Image
    overlap: float


def register(source: sitk.Image, target: sitk.Image) -> Registration:
    """Align a source to its target: rigid, Mattes mutual information, from coarse to fine.

    Starts from the scanner coordinates of the headers.
    """
    transform = _rigid_transform(source, target)
    moved = sitk.Resample(source, target, transform, sitk.sitkBSpline3, 0.0, sitk.sitkFloat32)
    # Splines overshoot at the edges of the head, below zero too.
    moved = sitk.Clamp(moved, sitk.sitkFloat32, *_range(source))
    ones = sitk.Image(source.GetSize(), sitk.sitkUInt8) + 1
    ones.CopyInformation(source)
    seen = sitk.Resample(ones, target, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return Registration(moved, seen, _overlap(moved, target, seen))


def _rigid_transform(source: sitk.Image, target: sitk.Image) -> sitk.Transform:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(_SAMPLING_SHARE, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    spacing = float(np.mean(target.GetSpacing()))
    method.SetShrinkFactorsPerLevel([max(1, round(size / spacing)) for size in _LEVELS])
    method.SetSmoothingSigmasPerLevel([size / 2 for size in _LEVELS])
    centre = target.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in target.GetSize()])
    start = sitk.Euler3DTransform()
    start.SetCenter(centre)
    method.SetInitialTransform(start, inPlace=False)
    with _one_thread():
        return method.Execute(sitk.Cast(target, sitk.sitkFloat32), sitk.Cast(source, sitk.sitkFloat32))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The sums of several threads differ from run to run."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _range(image: sitk.Image) -> tuple[float, float]:
    values = sitk.GetArrayViewFromImage(image)
    return float(values.min()), float(values.max())


def _overlap(source: sitk.Image, target: sitk.Image, field_of_view: sitk.Image) -> float:
    seen = sitk.GetArrayViewFromImage(field_of_view) > 0
    first, second = (head_mask(sitk.GetArrayFromImage(image).astype(np.float32)) & seen for image in (source, target))
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))
