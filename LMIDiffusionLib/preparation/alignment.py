"""The scans of one subject laid on each other: read, registered, and judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..errors import UserError
from ..images.background import with_zero_background
from ..images.masks import read_label_volume
from ..images.volume import read_volume
from ..training.n4 import correct_bias_field
from .images import straightened, to_image
from .registration import Registration, register
from .scans import Scan
from .tissues import tissue_means, tissues_of_dlmuse

# Two scans of one head that overlap less have not been aligned.
_MINIMUM_OVERLAP = 0.8
# Two scans of one head have 1.3 to 2.1, whatever their contrasts; other pictures about 1.
_MINIMUM_DISTINCTION = 1.2


@dataclass(frozen=True)
class Alignment:
    """A subject's target, and the sources laid on it.

    Attributes:
        target: the target's scan.
        registrations: of the sources, by modality.
    """

    target: sitk.Image
    registrations: dict[str, Registration]

    def doubts(self) -> list[str]:
        """What tells a failed registration, of each modality that has failed."""
        registrations = self.registrations.items()
        apart = [
            f"overlap of the heads: {modality} {each.overlap:.2f}"
            for modality, each in registrations
            if each.overlap < _MINIMUM_OVERLAP
        ]
        unclear = [
            f"{modality} has hardly more mutual information than after a half turn:"
            f" {each.distinction:.2f} times as much"
            for modality, each in registrations
            if each.distinction < _MINIMUM_DISTINCTION
        ]
        mirrored = [
            f"{modality} fits better as its mirror image: {1 / each.handedness:.2f} times the mutual information"
            for modality, each in registrations
            if each.handedness < 1
        ]
        return apart + unclear + mirrored

    def seen_by_all(self) -> sitk.Image:
        """1 where the target and every source was scanned."""
        seen = sitk.Image(self.target.GetSize(), sitk.sitkUInt8) + 1
        seen.CopyInformation(self.target)
        for each in self.registrations.values():
            seen = sitk.And(seen, each.field_of_view)
        return seen


def align(
    scans: Mapping[str, Scan], *, target: str, sources: list[str], spacing: float | None, correct_bias: bool
) -> Alignment:
    """Lay the sources of a subject on its target.

    Args:
        scans: by modality.
        target: modality whose grid all others are brought to.
        sources: modalities to lay on it.
        spacing: side of the grid's cubic voxels in millimetres; None for the target's own voxels.
        correct_bias: remove the coils' shading first.

    Raises:
        UserError: a scan cannot be used.
        RuntimeError: SimpleITK gives up.
    """
    fixed = straightened(_read(scans[target], correct_bias=correct_bias))
    if spacing is not None:
        fixed = _resampled(fixed, spacing)
    registrations = {}
    for modality in sources:
        source = _read(scans[modality], correct_bias=correct_bias)
        try:
            registrations[modality] = register(source, fixed)
        except UserError as error:
            raise UserError(f"{modality} cannot be laid on {target}: {error}") from error
    return Alignment(fixed, registrations)


def tissues_on(target: sitk.Image, labels: Scan) -> tuple[sitk.Image, list[float]]:
    """Tissues of a DLMUSE label map on the target's grid, and the target's mean intensity in each.

    Raises:
        UserError: the labels cannot be read or do not fit.
    """
    with labels.as_file() as path:
        image = to_image(read_label_volume(path))
    resampled = sitk.Resample(image, target, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    tissues = tissues_of_dlmuse(sitk.GetArrayFromImage(resampled))
    means = tissue_means(tissues, sitk.GetArrayViewFromImage(target))
    found = sitk.GetImageFromArray(tissues)
    found.CopyInformation(target)
    return found, means


def _read(scan: Scan, *, correct_bias: bool) -> sitk.Image:
    with scan.as_file() as path:
        volume = read_volume(path)
    # Resampling fills up with zero, so air must be zero.
    values = with_zero_background(volume.array.astype(np.float64)).astype(np.float32)
    image = sitk.DICOMOrient(to_image(volume.with_array(values)), "LPS")
    if not correct_bias:
        return image
    corrected = sitk.GetImageFromArray(correct_bias_field(sitk.GetArrayFromImage(image)))
    corrected.CopyInformation(image)
    return corrected


def _resampled(image: sitk.Image, spacing: float) -> sitk.Image:
    """On cubic voxels, smoothed first where these are larger."""
    sizes = [max(1, round(n * s / spacing)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    sigmas = [max(0.0, (spacing**2 - s**2) / 8) ** 0.5 + 1e-3 for s in image.GetSpacing()]
    smooth = sitk.SmoothingRecursiveGaussian(image, sigmas) if max(sigmas) > 0.1 else image
    origin = image.TransformContinuousIndexToPhysicalPoint(
        [(spacing / s - 1) / 2 for s in image.GetSpacing()]  # the outer faces of the field of view stay
    )
    return sitk.Resample(
        smooth, sizes, sitk.Transform(), sitk.sitkLinear, origin, [spacing] * 3, image.GetDirection(), 0.0
    )
