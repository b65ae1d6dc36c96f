"""Rigid registration of two scans of one head, with SimpleITK."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ...errors import UserError
from ...intensity import head_mask
from .images import centre

_HISTOGRAM_BINS = 32
_SAMPLING_SHARE = 0.3
_LEVELS = (6.0, 3.0)  # voxel sizes in millimetres, from coarse to fine
_SEED = 1
_COARSE = 8.0  # voxel size in millimetres at which starts are tried
_COARSE_SHARE = 0.5
# The headers' start is kept unless another one has more mutual information than this times its own.
_BETTER = 1.15
_OTHER_POSE = np.radians(45)
_SMALLEST = 4  # voxels along an axis
_HALF_TURNS = ((np.pi, 0.0, 0.0), (0.0, np.pi, 0.0), (0.0, 0.0, np.pi))


@dataclass(frozen=True)
class Registration:
    """A source resampled onto its target.

    Attributes:
        source: on the target's grid, 0 outside its field of view.
        field_of_view: 1 where the source was scanned.
        overlap: Dice of the two heads where both were scanned.
        distinction: mutual information over that of the best pose turned by more than 45 degrees; near 1 nobody knows
            which way round the head lies.
    """

    source: sitk.Image
    field_of_view: sitk.Image
    overlap: float
    distinction: float


@dataclass(frozen=True)
class _Pose:
    """A transform from target to source, and the mutual information of both at the coarse level."""

    transform: sitk.Euler3DTransform
    information: float


def register(source: sitk.Image, target: sitk.Image) -> Registration:
    """Align a source to its target: rigid, Mattes mutual information, from coarse to fine.

    Starts from the scanner coordinates of the headers, unless the centres of the heads laid on each other, as they
    are or after a half turn, lead to a clearly better pose.

    Raises:
        UserError: an image is too thin, or the heads meet from no start.
        RuntimeError: SimpleITK gives up.
    """
    if min(*source.GetSize(), *target.GetSize()) < _SMALLEST:
        raise UserError(f"one of them is less than {_SMALLEST} voxels thick; give whole 3-D scans")
    with _one_thread():
        start, distinction = _best_start(source, target)
        transform = _rigid_transform(source, target, start)
    moved = sitk.Resample(source, target, transform, sitk.sitkBSpline3, 0.0, sitk.sitkFloat32)
    # Splines overshoot at the edges of the head, below zero too.
    moved = sitk.Clamp(moved, sitk.sitkFloat32, *_range(source))
    ones = sitk.Image(source.GetSize(), sitk.sitkUInt8) + 1
    ones.CopyInformation(source)
    seen = sitk.Resample(ones, target, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return Registration(moved, seen, _overlap(moved, target, seen), distinction)


def _best_start(source: sitk.Image, target: sitk.Image) -> tuple[sitk.Euler3DTransform, float]:
    """Where to start, and how distinct from other ways round the best pose is."""
    header = sitk.Euler3DTransform(centre(target).tolist(), 0.0, 0.0, 0.0, (0.0, 0.0, 0.0))
    source, target = _shrunk(source), _shrunk(target)
    from_header = _coarse_pose(source, target, header)
    poses = [pose for start in _starts(source, target) if (pose := _coarse_pose(source, target, start))]
    best = max([*poses, *([from_header] if from_header else [])], key=lambda pose: pose.information, default=None)
    if best is None:
        raise UserError("the heads meet from no start of the registration")
    turned = [pose.information for pose in poses if _angle(pose.transform, best.transform) > _OTHER_POSE]
    distinction = best.information / max([*turned, 1e-6])
    if from_header is not None and best.information <= _BETTER * from_header.information:
        return header, distinction
    return best.transform, distinction


def _shrunk(image: sitk.Image) -> sitk.Image:
    sizes = zip(image.GetSize(), image.GetSpacing(), strict=True)
    return sitk.BinShrink(image, [min(size, max(1, round(_COARSE / spacing))) for size, spacing in sizes])


def _starts(source: sitk.Image, target: sitk.Image) -> Iterator[sitk.Euler3DTransform]:
    """The centres of the heads laid on each other, then half turns about these."""
    middle = _centre_of_head(target)
    shift = (_centre_of_head(source) - middle).tolist()
    for angles in ((0.0, 0.0, 0.0), *_HALF_TURNS):
        yield sitk.Euler3DTransform(middle.tolist(), *angles, shift)


def _centre_of_head(image: sitk.Image) -> NDArray[np.float64]:
    head = np.argwhere(head_mask(sitk.GetArrayFromImage(image)))
    if not len(head):
        return centre(image)
    return np.array(image.TransformContinuousIndexToPhysicalPoint(head.mean(0)[::-1].tolist()))


def _coarse_pose(source: sitk.Image, target: sitk.Image, start: sitk.Euler3DTransform) -> _Pose | None:
    """What a few steps from a start lead to; nothing where the images do not meet."""
    method = _method(_COARSE_SHARE)
    method.SetOptimizerAsRegularStepGradientDescent(4.0, 0.2, 15, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    transform = sitk.Euler3DTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(target, source)
    except RuntimeError:
        return None
    moved = sitk.Resample(source, target, transform, sitk.sitkLinear, 0.0)
    return _Pose(transform, _mutual_information(*(sitk.GetArrayFromImage(image) for image in (moved, target))))


def _mutual_information(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """In nats, over the whole grid: what one of them has not seen counts as air."""
    joint = np.histogram2d(first.ravel(), second.ravel(), _HISTOGRAM_BINS)[0] / first.size
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / apart[filled])).sum())


def _angle(first: sitk.Euler3DTransform, second: sitk.Euler3DTransform) -> float:
    """Of the rotation from one to the other, in radians."""
    one, other = (np.reshape(transform.GetMatrix(), (3, 3)) for transform in (first, second))
    return float(np.arccos(np.clip((np.trace(one.T @ other) - 1) / 2, -1, 1)))


def _method(share: float) -> sitk.ImageRegistrationMethod:
    """Mutual information of a share of the voxels, the same ones every time."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(share, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _rigid_transform(source: sitk.Image, target: sitk.Image, start: sitk.Euler3DTransform) -> sitk.Transform:
    method = _method(_SAMPLING_SHARE)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    spacing = float(np.mean(target.GetSpacing()))
    method.SetShrinkFactorsPerLevel([max(1, round(size / spacing)) for size in _LEVELS])
    method.SetSmoothingSigmasPerLevel([size / 2 for size in _LEVELS])
    method.SetInitialTransform(start, inPlace=False)
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
