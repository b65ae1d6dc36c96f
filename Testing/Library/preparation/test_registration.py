"""Registration of two scans of one head: motions, half turns, mirror images, shears."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from moving import far_away, flipped, moved, read, small, symmetric, turned

from LMIDiffusionLib.images.normalization import head_mask
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume
from LMIDiffusionLib.preparation.images import to_image, with_right_angles
from LMIDiffusionLib.preparation.registration import register


def test_a_known_motion_is_recovered_to_half_a_voxel() -> None:
    target, source = read("sri24_T1w"), read("sri24_PDw")
    registration = register(moved(source, (5, -4, 6), (6, -5, 4)), target)
    wanted, found = (sitk.GetArrayFromImage(image) for image in (source, registration.source))
    inside = head_mask(wanted)
    # A shift of half a voxel already changes the head by more than this.
    shifted = np.abs(np.roll(wanted, 1, 0) - wanted)[inside].mean() / 2
    assert np.abs(found - wanted)[inside].mean() < shifted
    assert registration.overlap > 0.95


@pytest.mark.parametrize("displaced", [far_away, turned, lambda image: moved(image, (180, 0, 0), (3, 0, 2))])
def test_distant_and_rotated_heads_are_registered(
    displaced: Callable[[sitk.Image], sitk.Image],
) -> None:
    source = small("sri24_PDw")
    registration = register(displaced(source), small("sri24_T1w"))
    wanted, found = (sitk.GetArrayFromImage(image) for image in (source, registration.source))
    inside = head_mask(wanted)
    shifted = np.abs(np.roll(wanted, 1, 0) - wanted)[inside].mean() / 2
    assert np.abs(found - wanted)[inside].mean() < 0.9 * shifted
    assert registration.overlap > 0.95
    assert registration.distinction > 1.3


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_mirrored_head_has_a_handedness_below_1(axes: tuple[int, ...]) -> None:
    assert register(flipped(small("sri24_PDw"), axes), small("sri24_T1w")).handedness < 0.95


@pytest.mark.parametrize("axes", [(), (0, 1), (0, 2), (1, 2)])
def test_a_head_flipped_along_two_axes_is_rotated_back(axes: tuple[int, ...]) -> None:
    source = small("sri24_PDw")
    registration = register(flipped(source, axes), small("sri24_T1w"))
    wanted, found = (sitk.GetArrayFromImage(image) for image in (source, registration.source))
    assert registration.handedness > 1.05
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.98


def test_an_ambiguous_orientation_has_a_distinction_near_1() -> None:
    assert register(symmetric(small("sri24_PDw")), small("sri24_T1w")).distinction < 1.1


def test_registration_is_reproducible() -> None:
    target, source = small("sri24_T1w"), moved(small("sri24_PDw"), (3, 0, 0), (0, 4, 0))
    first, second = (sitk.GetArrayFromImage(register(source, target).source) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_field_of_view_is_that_of_the_source() -> None:
    target = read("sri24_T1w")
    registration = register(read("sri24_PDw")[:, :, 20:], target)
    seen = sitk.GetArrayFromImage(registration.field_of_view)
    heights = np.flatnonzero(seen.mean((1, 2)) > 0.5)
    assert heights[0] in (19, 20, 21)
    assert registration.overlap > 0.9


def oblique(degrees: float, spacing: tuple[float, float, float]) -> np.ndarray:
    """An affine with its axes in another order, one of them mirrored."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, -1]])[:, [2, 0, 1]] * spacing
    affine[:3, 3] = (-20, 31, 7.5)
    return affine


def test_an_image_has_the_place_that_simpleitk_reads(tmp_path: Path) -> None:
    values = np.random.default_rng(2).random((5, 6, 7), np.float32)
    write_volume(tmp_path / "scan.nii", Volume(values, oblique(25, (1.2, 0.7, 3.0))))
    found, expected = to_image(read_volume(tmp_path / "scan.nii")), sitk.ReadImage(str(tmp_path / "scan.nii"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected))
    for index in ((0, 0, 0), (4, 0, 0), (0, 5, 0), (4, 5, 6)):
        point, wanted = (image.TransformIndexToPhysicalPoint(index) for image in (found, expected))
        np.testing.assert_allclose(point, wanted, atol=1e-4)


def test_a_sheared_scan_is_resampled_to_right_angles_in_place() -> None:
    volume = Volume(np.zeros((20, 22, 24), np.float32), oblique(10, (2.0, 2.0, 2.0)))
    volume.affine[:3, 1] += 0.2 * volume.affine[:3, 0]
    grid = np.moveaxis(np.indices(volume.array.shape), 0, -1)
    height = grid @ volume.affine[2, :3] + volume.affine[2, 3]  # of each voxel, in millimeters
    image = with_right_angles(to_image(volume.with_array(height.astype(np.float32))))
    direction = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-9)
    for index in ((10, 11, 12), (6, 8, 9), (13, 15, 16)):
        assert image[index] == pytest.approx(image.TransformIndexToPhysicalPoint(index)[2], abs=1e-3)
