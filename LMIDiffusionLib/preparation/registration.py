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
from .images import centre

_HISTOGRAM_BINS = 32
_SAMPLING_SHARE = 0.3
_LEVELS = (6.0, 3.0)  # voxel sizes in millimetres, from coarse to fine
_SEED = 1
_SHARE_OF_FEW = 0.5  # of the voxels of a shrunk image
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
        handedness: mutual information over that of the source's mirror image; below 1 the source is one itself.
    """

    source: sitk.Image
    field_of_view: sitk.Image
    overlap: float
    distinction: float
    handedness: float


@dataclass(frozen=True)
class _Level:
    """How poses are found quickly: on voxels of that size, by so many steps from the longest to the shortest."""

    voxel: float  # millimetres
    longest: float
    shortest: float
    steps: int


_COARSE = _Level(8.0, 4.0, 0.2, 15)
# Here the two sides of a head differ: of 16 pairs, each has 7 to 28 % more mutual information than its mirror image.
_MEDIUM = _Level(4.0, 2.0, 0.05, 30)


@dataclass(frozen=True)
class _Pose:
    """Where a few steps from a start have led.

    Attributes:
        start: transform from target to source.
        transform: the better one that was found.
        information: mutual information of both images under it, at the level where it was found.
    """

    start: sitk.Euler3DTransform
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
        header, poses = _coarse_poses(source, target)
        best = max(poses, key=_information)
        is_header_good = header is not None and best.information <= _BETTER * header.information
        transform = _rigid_transform(source, target, header.start if header and is_header_good else best.transform)
        handedness = _handedness(source, target, best)
    moved = sitk.Resample(source, target, transform, sitk.sitkBSpline3, 0.0, sitk.sitkFloat32)
    # Splines overshoot at the edges of the head, below zero too.
    moved = sitk.Clamp(moved, sitk.sitkFloat32, *_range(source))
    ones = sitk.Image(source.GetSize(), sitk.sitkUInt8) + 1
    ones.CopyInformation(source)
    seen = sitk.Resample(ones, target, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return Registration(moved, seen, _overlap(moved, target, seen), _distinction(poses, best), handedness)


def _information(pose: _Pose) -> float:
    return pose.information


def _coarse_poses(source: sitk.Image, target: sitk.Image) -> tuple[_Pose | None, list[_Pose]]:
    """What the headers' start leads to, if anywhere, and that with what the others lead to.

    Raises:
        UserError: none of them leads anywhere.
    """
    header = sitk.Euler3DTransform(centre(target).tolist(), 0.0, 0.0, 0.0, (0.0, 0.0, 0.0))
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
    """Mutual information over that of the mirrored source, each in its best pose; 1 where nobody knows."""
    mirrored = _mirrored(source)
    try:
        rival = max(_coarse_poses(mirrored, target)[1], key=_information)
    except UserError:
        return 1.0
    grid = _shrunk(target, _MEDIUM)
    own, other = (
        _pose(_shrunk(image, _MEDIUM), grid, pose.transform, _MEDIUM)
        for image, pose in ((source, best), (mirrored, rival))
    )
    return own.information / max(other.information, 1e-6) if own and other else 1.0


def _mirrored(image: sitk.Image) -> sitk.Image:
    """The image with its columns in the opposite order, under the same header."""
    mirrored = sitk.GetImageFromArray(np.ascontiguousarray(sitk.GetArrayViewFromImage(image)[:, :, ::-1]))
    mirrored.CopyInformation(image)
    return mirrored


def _shrunk(image: sitk.Image, level: _Level) -> sitk.Image:
    sizes = zip(image.GetSize(), image.GetSpacing(), strict=True)
    return sitk.BinShrink(image, [min(size, max(1, round(level.voxel / spacing))) for size, spacing in sizes])


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


def _pose(source: sitk.Image, target: sitk.Image, start: sitk.Euler3DTransform, level: _Level) -> _Pose | None:
    """What a few steps from a start lead to; nothing where the images do not meet."""
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
