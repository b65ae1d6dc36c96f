"""Alignment of the scans of one subject: reading, registration, and checks of its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..errors import UserError
from ..images.background import with_zero_background
from ..images.masks import read_label_volume
from ..images.volume import read_volume
from ..segmentation.dlmuse import tissues_from_dlmuse
from ..training.n4 import correct_bias_field
from .images import to_image, with_right_angles
from .registration import Registration, register
from .scans import RawScan
from .tissues import tissue_means

# Dice of the two heads below which the registration counts as failed.
_MINIMUM_OVERLAP = 0.8
# Registered heads have 1.3 to 2.1 in any contrast; images that do not belong together have about 1.
_MINIMUM_DISTINCTION = 1.2


@dataclass(frozen=True)
class Alignment:
    """A subject's target, and the sources registered to it.

    Attributes:
        target: the target's scan.
        registrations: registered sources by modality.
    """

    target: sitk.Image
    registrations: dict[str, Registration]

    def problems(self) -> list[str]:
        """Return one sentence for each sign of a failed registration."""
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
        """Return 1 in the field of view of the target and of every source, 0 elsewhere."""
        seen = sitk.Image(self.target.GetSize(), sitk.sitkUInt8) + 1
        seen.CopyInformation(self.target)
        for each in self.registrations.values():
            seen = sitk.And(seen, each.field_of_view)
        return seen


def align(
    scans: Mapping[str, RawScan], *, target: str, sources: list[str], spacing: float | None, correct_bias: bool
) -> Alignment:
    """Register the sources of a subject to its target.

    Args:
        scans: by modality.
        target: modality whose grid the others are resampled to.
        sources: modalities to register.
        spacing: side of the grid's cubic voxels in millimeters; None for the target's own voxels.
        correct_bias: correct the bias field first.

    Raises:
        UserError: a scan cannot be used.
        RuntimeError: SimpleITK gives up.
    """
    fixed = with_right_angles(_read(scans[target], correct_bias=correct_bias))
    if spacing is not None:
        fixed = _resampled(fixed, spacing)
    registrations = {}
    for modality in sources:
        source = _read(scans[modality], correct_bias=correct_bias)
        try:
            registrations[modality] = register(source, fixed)
        except UserError as error:
            raise UserError(f"{modality} cannot be registered to {target}: {error}") from error
    return Alignment(fixed, registrations)


def tissues_on(target: sitk.Image, labels: RawScan) -> tuple[sitk.Image, list[float]]:
    """Return the tissues of a DLMUSE label map on the target's grid, and the target's mean intensity in each.

    Raises:
        UserError: the labels cannot be read or do not fit the target.
    """
    with labels.as_file() as path:
        image = to_image(read_label_volume(path))
    resampled = sitk.Resample(image, target, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    tissues = tissues_from_dlmuse(sitk.GetArrayFromImage(resampled))
    means = tissue_means(tissues, sitk.GetArrayViewFromImage(target))
    found = sitk.GetImageFromArray(tissues)
    found.CopyInformation(target)
    return found, means


def _read(scan: RawScan, *, correct_bias: bool) -> sitk.Image:
    with scan.as_file() as path:
        volume = read_volume(path)
    # Resampling pads with zero, so air must be zero.
    values = with_zero_background(volume.array.astype(np.float64)).astype(np.float32)
    image = sitk.DICOMOrient(to_image(volume.with_array(values)), "LPS")
    if not correct_bias:
        return image
    corrected = sitk.GetImageFromArray(correct_bias_field(sitk.GetArrayFromImage(image)))
    corrected.CopyInformation(image)
    return corrected


def _resampled(image: sitk.Image, spacing: float) -> sitk.Image:
    """Resample to cubic voxels, and smooth first along axes where these are larger."""
    sizes = [max(1, round(n * s / spacing)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    sigmas = [max(0.0, (spacing**2 - s**2) / 8) ** 0.5 + 1e-3 for s in image.GetSpacing()]
    smooth = sitk.SmoothingRecursiveGaussian(image, sigmas) if max(sigmas) > 0.1 else image
    origin = image.TransformContinuousIndexToPhysicalPoint(
        [(spacing / s - 1) / 2 for s in image.GetSpacing()]  # keeps the outer faces of the field of view
    )
    return sitk.Resample(
        smooth, sizes, sitk.Transform(), sitk.sitkLinear, origin, [spacing] * 3, image.GetDirection(), 0.0
    )
