"""Properties of translations in space: orientations, spacings, margins."""

from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from translating import MIDDLE, image, moments_of, run

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion

Affine = NDArray[np.float64]
Array = NDArray[np.number]
HeadMaker = Callable[[tuple[int, int, int], Affine], Volume]
Centered = Callable[[tuple[int, int, int], tuple[float, float, float]], Affine]
Orientations = Callable[[Volume], Iterator[tuple[Volume, Callable[[Array], Array]]]]


def test_the_48_orientations_of_a_volume_are_translated_alike(
    method: LMIDiffusion, head: Volume, middle: Array, orientations: Orientations
) -> None:
    count = 0
    for volume, back in orientations(head):
        result = run(method, volume, slices=MIDDLE).volume
        np.testing.assert_array_equal(result.affine, volume.affine)
        np.testing.assert_allclose(back(result.array), middle, atol=1e-6)
        count += 1
    assert count == 48


@pytest.mark.parametrize("degrees", [(40, 0, 0), (0, -40, 0), (0, 0, 40), (15, -20, 25)])
def test_an_oblique_volume_is_translated_as_without_its_rotation(
    method: LMIDiffusion, head: Volume, middle: Array, degrees: tuple[float, float, float]
) -> None:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    result = run(method, Volume(head.array, turn @ head.affine), slices=MIDDLE).volume
    np.testing.assert_allclose(result.array, middle, atol=1e-6)
    np.testing.assert_array_equal(result.affine, turn @ head.affine)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((80, 96, 20), (1.0, 1.0, 2.0)),
        ((53, 107, 20), (80 / 53, 96 / 107, 2.0)),
        ((41, 47, 20), (80 / 41, 96 / 47, 2.0)),
        ((27, 33, 20), (80 / 27, 96 / 33, 2.0)),
    ],
    ids=["finer", "anisotropic", "odd", "coarser"],
)
def test_another_pixel_spacing_gives_the_canonical_translation_up_to_interpolation(
    method: LMIDiffusion,
    head: Volume,
    head_on: HeadMaker,
    centered: Centered,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> None:
    whole = moments_of(method, head).mean
    result = moments_of(method, head_on(shape, centered(shape, spacing))).mean
    resampled = torch.nn.functional.interpolate(
        torch.from_numpy(np.moveaxis(whole, 2, 0).copy())[:, None],
        size=shape[:2],
        mode="bilinear",
        antialias=True,
    )
    expected = np.moveaxis(resampled[:, 0].numpy(), 0, 2)
    difference = np.abs(result - expected).mean()
    turned = moments_of(method, head.with_array(head.array[:, ::-1].copy())).mean
    assert difference < 0.02
    assert difference < 0.6 * np.abs(turned - whole).mean(), "another source makes no greater difference"


@pytest.mark.parametrize("cut", [(1, 1, 1, 1), (1, 2, 1, 2), (0, 1, 1, 2)])
def test_padding_to_the_stride_equals_a_margin_of_zeros(
    method: LMIDiffusion, head: Volume, cut: tuple[int, int, int, int]
) -> None:
    """The padding to the network's stride is a margin of zeros, and what is cut off afterwards is that very margin."""
    inner = np.s_[cut[0] : -cut[1] or None, cut[2] : -cut[3] or None]
    padded = np.zeros_like(head.array)
    padded[inner] = head.array[inner]
    expected = image(method, head.with_array(padded), slices=MIDDLE)
    result = image(method, Volume(head.array[inner].copy(), head.affine), slices=MIDDLE)
    np.testing.assert_allclose(result, expected[inner], atol=1e-3)


def test_a_left_handed_file_is_translated_as_the_canonical_volume_and_keeps_its_header(
    method: LMIDiffusion, head: Volume, middle: Array, tmp_path: Path
) -> None:
    affine = head.affine @ np.diag([-1.0, 1, 1, 1])
    affine[0, 3] = -head.affine[0, 3]
    nifti = nib.Nifti1Image(head.array[::-1], affine)
    nifti.set_qform(affine, 1)
    nib.save(nifti, tmp_path / "left.nii.gz")
    source = read_volume(tmp_path / "left.nii.gz")
    assert np.linalg.det(source.affine) < 0
    write_volume(tmp_path / "result.nii.gz", run(method, source, slices=MIDDLE).volume)
    result = read_volume(tmp_path / "result.nii.gz")
    np.testing.assert_allclose(result.array[::-1], middle, atol=1e-6)
    np.testing.assert_array_equal(result.affine, source.affine)


@pytest.mark.parametrize("shape", [(40, 7, 20), (7, 48, 20)])
def test_a_too_thin_volume_is_refused(method: LMIDiffusion, head: Volume, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="too thin"):
        run(method, Volume(head.array[tuple(slice(n) for n in shape)], head.affine))
