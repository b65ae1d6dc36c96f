"""Bundled scans, and what a scanner would make of them after the head has moved, turned or been mirrored."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from LMIDiffusionLib.jobs.demo import sample_scan


def read(name: str) -> sitk.Image:
    return sitk.ReadImage(str(sample_scan(name)), sitk.sitkFloat32)


def small(name: str) -> sitk.Image:
    """A bundled scan with voxels of 4 mm."""
    return sitk.BinShrink(read(name), [2, 2, 2])


def moved(image: sitk.Image, angles: tuple[float, float, float], shift: tuple[float, float, float]) -> sitk.Image:
    """The image as a scanner would have it after the head has moved: other pixels, the same header."""
    center = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    motion = sitk.Euler3DTransform(center, *np.radians(angles), shift)
    return sitk.Resample(image, image, motion, sitk.sitkLinear, 0.0)


def far_away(image: sitk.Image) -> sitk.Image:
    """The image with an origin 400 mm away, as scanners and lost headers give it."""
    image = sitk.Image(image)
    image.SetOrigin([coordinate + 400 for coordinate in image.GetOrigin()])
    return image


def turned(image: sitk.Image) -> sitk.Image:
    """The head with its nose to the back."""
    return moved(image, (4, -3, 175), (2, -3, 4))


def flipped(image: sitk.Image, axes: tuple[int, ...]) -> sitk.Image:
    """The voxels in the opposite order along some axes, under the same header."""
    values = sitk.GetImageFromArray(np.flip(sitk.GetArrayFromImage(image), tuple(2 - axis for axis in axes)).copy())
    values.CopyInformation(image)
    return values


def symmetric(image: sitk.Image) -> sitk.Image:
    """Its mean with itself after each half turn about its middle."""
    values = sitk.GetArrayFromImage(image)
    turns = [values[::a, ::b, ::c] for a, b, c in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    mean = sitk.GetImageFromArray(np.mean(turns, 0))
    mean.CopyInformation(image)
    return mean


def orientation_of(image: sitk.Image) -> str:
    return str(sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection()))
