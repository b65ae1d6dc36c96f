"""Rigid registration of two scans of one head, with SimpleITK."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..errors import UserError
from ..images.normalization import head_mask
from .images import center

_HISTOGRAM_BINS = 32
_SAMPLING_SHARE = 0.3
_LEVELS = (6.0, 3.0)  # voxel sizes in millimeters, from coarse to fine
_SEED = 1
_SHARE_OF_FEW = 0.5  # of the voxels of a downsampled image
# The start from the headers is replaced if another start gives this many times its mutual information.
_BETTER = 1.15
_OTHER_POSE = np.radians(45)
_SMALLEST = 4  # voxels along an axis
_HALF_TURNS = ((np.pi, 0.0, 0.0), (0.0, np.pi, 0.0), (0.0, 0.0, np.pi))


@dataclass(frozen=True)
class Registration:
    """A source resampled to its target.

    Attributes:
        source: on the target's grid, 0 outside its field of view.
        field_of_view: 1 in the source's field of view, 0 elsewhere.
        overlap: Dice of the two heads in the source's field of view.
        distinction: mutual information relative to the best pose rotated by more than 45 degrees; near 1 the
            orientation is ambiguous.
        handedness: mutual information relative to the source's mirror image; below 1 the source itself is mirrored.
    """

    source: sitk.Image
    field_of_view: sitk.Image
    overlap: float
    distinction: float
    handedness: float


@dataclass(frozen=True)
class _Level:
    """Resolution of a quick search for a pose: voxel size, and the optimizer's steps in millimeters."""

    voxel: float  # millimeters
    longest: float
    shortest: float
    steps: int


_COARSE = _Level(8.0, 4.0, 0.2, 15)
# The sides of a head differ at this size: each of 16 pairs has 7 to 28 % more mutual information than its mirror image.
_MEDIUM = _Level(4.0, 2.0, 0.05, 30)


@dataclass(frozen=True)
class _Pose:
    """Result of a quick search from one start.

    Attributes:
        start: initial transform from target to source.
        transform: optimized transform.
        information: mutual information of both images under the optimized transform, at the level of the search.
    """

    start: sitk.Euler3DTransform
    transform: sitk.Euler3DTransform
    information: float


def register(source: sitk.Image, target: sitk.Image) -> Registration:
    """Register a source to its target: rigid, Mattes mutual information, from coarse to fine.

    The start is the pose of the headers, unless a start that aligns the centers of the heads, with or without a half
    turn, gives a clearly better pose.

    Raises:
        UserError: an image is too thin, or no start makes the heads overlap.
        RuntimeError: SimpleITK gives up.
    """
    if min(*source.GetSize(), *target.GetSize()) < _SMALLEST:
        raise UserError(f"one of them is less than {_SMALLEST} voxels thick; give whole 3-D scans")
    with _one_thread():
        header, poses = _coarse_poses(source, target)
        best = max(poses, key=_information)
        is_header_good = header is not None and best.information <= _BETTER * header.information
        transform = _rigid_transform(source, target, header.start if header and is_header_good else best.transform)
        handedness = _handedness(source, target, best)
    moved = sitk.Resample(source, target, transform, sitk.sitkBSpline3, 0.0, sitk.sitkFloat32)
    # Splines overshoot at the edges of the head, even below zero.
    moved = sitk.Clamp(moved, sitk.sitkFloat32, *_range(source))
    ones = sitk.Image(source.GetSize(), sitk.sitkUInt8) + 1
    ones.CopyInformation(source)
    seen = sitk.Resample(ones, target, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return Registration(moved, seen, _overlap(moved, target, seen), _distinction(poses, best), handedness)


def _information(pose: _Pose) -> float:
    return pose.information


def _coarse_poses(source: sitk.Image, target: sitk.Image) -> tuple[_Pose | None, list[_Pose]]:
    """Return the pose from the headers' start (or None), and the converged poses of all starts.

    Raises:
        UserError: no start converges.
    """
    header = sitk.Euler3DTransform(center(target).tolist(), 0.0, 0.0, 0.0, (0.0, 0.0, 0.0))
    source, target = _shrunk(source, _COARSE), _shrunk(target, _COARSE)
    poses = [_pose(source, target, start, _COARSE) for start in (header, *_starts(source, target))]
    found = [pose for pose in poses if pose is not None]
    if not found:
        raise UserError("the heads meet from no start of the registration")
    return poses[0], found


def _distinction(poses: list[_Pose], best: _Pose) -> float:
    turned = [pose.information for pose in poses if _angle(pose.transform, best.transform) > _OTHER_POSE]
    return best.information / max([*turned, 1e-6])


def _handedness(source: sitk.Image, target: sitk.Image, best: _Pose) -> float:
    """Return the mutual information relative to the mirrored source, each in its best pose; 1 if undecidable."""
    mirrored = _mirrored(source)
    try:
        counterpart = max(_coarse_poses(mirrored, target)[1], key=_information)
    except UserError:
        return 1.0
    grid = _shrunk(target, _MEDIUM)
    own, other = (
        _pose(_shrunk(image, _MEDIUM), grid, pose.transform, _MEDIUM)
        for image, pose in ((source, best), (mirrored, counterpart))
    )
    return own.information / max(other.information, 1e-6) if own and other else 1.0


def _mirrored(image: sitk.Image) -> sitk.Image:
    """Reverse the order of an image's columns under the same header."""
    mirrored = sitk.GetImageFromArray(np.ascontiguousarray(sitk.GetArrayViewFromImage(image)[:, :, ::-1]))
    mirrored.CopyInformation(image)
    return mirrored


def _shrunk(image: sitk.Image, level: _Level) -> sitk.Image:
    sizes = zip(image.GetSize(), image.GetSpacing(), strict=True)
    return sitk.BinShrink(image, [min(size, max(1, round(level.voxel / spacing))) for size, spacing in sizes])


def _starts(source: sitk.Image, target: sitk.Image) -> Iterator[sitk.Euler3DTransform]:
    """Yield a transform that aligns the centers of the heads, then half turns about them."""
    middle = _head_center(target)
    shift = (_head_center(source) - middle).tolist()
    for angles in ((0.0, 0.0, 0.0), *_HALF_TURNS):
        yield sitk.Euler3DTransform(middle.tolist(), *angles, shift)


def _head_center(image: sitk.Image) -> NDArray[np.float64]:
    head = np.argwhere(head_mask(sitk.GetArrayFromImage(image)))
    if not len(head):
        return center(image)
    return np.array(image.TransformContinuousIndexToPhysicalPoint(head.mean(0)[::-1].tolist()))


def _pose(source: sitk.Image, target: sitk.Image, start: sitk.Euler3DTransform, level: _Level) -> _Pose | None:
    """Optimize a pose by a few steps from a start; None if the images do not overlap."""
    method = _method(_SHARE_OF_FEW)
    method.SetOptimizerAsRegularStepGradientDescent(level.longest, level.shortest, level.steps, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    transform = sitk.Euler3DTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(target, source)
    except RuntimeError:
        return None
    moved = sitk.Resample(source, target, transform, sitk.sitkLinear, 0.0)
    return _Pose(start, transform, _mutual_information(*(sitk.GetArrayFromImage(image) for image in (moved, target))))


def _mutual_information(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the mutual information in nats over the whole grid; voxels outside a field of view count as air."""
    joint = np.histogram2d(first.ravel(), second.ravel(), _HISTOGRAM_BINS)[0] / first.size
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / apart[filled])).sum())


def _angle(first: sitk.Euler3DTransform, second: sitk.Euler3DTransform) -> float:
    """Return the angle of the rotation between two transforms in radians."""
    one, other = (np.reshape(transform.GetMatrix(), (3, 3)) for transform in (first, second))
    return float(np.arccos(np.clip((np.trace(one.T @ other) - 1) / 2, -1, 1)))


def _method(share: float) -> sitk.ImageRegistrationMethod:
    """Return a registration by mutual information of a fixed random share of the voxels."""
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
    """Run SimpleITK on one thread: sums over several threads differ from run to run."""
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
