"""Properties of the axial grid, and of padding."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from grids import Affine, Array, affine_of, counting_array, rotation
from numpy.typing import NDArray

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.normalization import head_mask, to_unit_scale
from LMIDiffusionLib.images.slice_grid import SliceGrid, pad_to, padded_shape
from LMIDiffusionLib.images.volume import Volume, read_volume

Orientations = Callable[[Volume], Iterator[tuple[Volume, Callable[[Array], Array]]]]

ROTATIONS = [
    (axis, degrees)
    for axis, degrees in itertools.product([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, -2, 0.5), (1, 1, 1)], [-40.0, 15.0])
]


def grid_of(volume: Volume, pixel_size: float = 2.0) -> SliceGrid:
    return SliceGrid(volume.array.shape, volume.affine, pixel_size=pixel_size)


@pytest.fixture
def textured() -> Volume:
    """Odd and unequal sizes, no symmetry, 2 mm."""
    array = np.random.default_rng(0).normal(size=(21, 19, 18)).astype(np.float32)
    return Volume(array, affine_of((2.0, 2.0, 2.0)))


def test_slices_of_right_anterior_superior_axes_are_the_planes_from_the_feet_up(textured: Volume) -> None:
    slices = grid_of(textured).slices(textured.array)
    assert slices.dtype == torch.float32
    np.testing.assert_array_equal(slices[:, 0].numpy(), np.moveaxis(textured.array, 2, 0))


def test_slices_of_the_48_orientations_are_the_same(textured: Volume, orientations: Orientations) -> None:
    expected = grid_of(textured).slices(textured.array)
    turned = [grid_of(volume).slices(volume.array) for volume, _ in orientations(textured)]
    assert len(turned) == 48
    assert all(torch.equal(slices, expected) for slices in turned)


def test_the_way_to_slices_and_back_is_the_identity_in_the_48_orientations(
    textured: Volume, orientations: Orientations
) -> None:
    for volume, _ in orientations(textured):
        grid = grid_of(volume)
        back = grid.volume(grid.to_plane(grid.slices(volume.array)))
        assert back.dtype == np.float32
        np.testing.assert_array_equal(back, volume.array)


@pytest.mark.parametrize(("axis", "degrees"), ROTATIONS)
def test_slices_of_an_oblique_volume_are_those_without_its_rotation(
    textured: Volume, orientations: Orientations, axis: tuple[float, float, float], degrees: float
) -> None:
    expected = grid_of(textured).slices(textured.array)
    for volume, _ in orientations(textured):
        oblique = Volume(volume.array, rotation(axis, degrees) @ volume.affine)
        grid = grid_of(oblique)
        assert torch.equal(grid.slices(oblique.array), expected)
        np.testing.assert_array_equal(grid.volume(grid.to_plane(grid.slices(oblique.array))), oblique.array)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", ">i2", "int64", "float64"])
def test_slices_of_every_dtype(textured: Volume, dtype: str) -> None:
    array = (np.abs(textured.array) * 60).astype(dtype)
    np.testing.assert_array_equal(grid_of(textured).slices(array)[:, 0].numpy(), np.moveaxis(array, 2, 0))


GRIDS = pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((60, 70, 9), (0.8, 0.9, 5.0)),
        ((61, 47, 5), (0.9, 1.7, 3.0)),
        ((31, 33, 4), (3.1, 2.9, 1.0)),
        ((47, 23, 6), (1.3, 4.0, 0.7)),
        ((33, 35, 3), (2.0, 2.0, 2.0)),
    ],
)


def ramp_at(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """A linear function of world coordinates (..., 3)."""
    return 0.7 * positions[..., 0] - 1.3 * positions[..., 1] + 0.4 * positions[..., 2] + 5


def pixel_positions(shape: tuple[int, int, int], affine: Affine, slice_shape: tuple[int, int]) -> NDArray[np.float64]:
    """World coordinates (S, H, W, 3) of pixels that share the field of view of a right-anterior-superior volume."""
    rows, columns = ((np.arange(m) + 0.5) * n / m - 0.5 for n, m in zip(shape, slice_shape, strict=False))
    z, x, y = np.meshgrid(np.arange(shape[2]), rows, columns, indexing="ij")
    return np.stack([x, y, z], axis=-1).astype(np.float64) @ affine[:3, :3].T + affine[:3, 3]


def assert_same_ramp(found: Array, expected: Array) -> None:
    """Equal away from the borders, up to the uneven weights of a resampling by a fraction; no shift on the whole."""
    difference = (found - expected)[6:-6, 6:-6]
    assert np.abs(difference).max() < 0.3
    assert np.abs(difference.mean()) < 0.02


@GRIDS
@pytest.mark.parametrize("turn", [np.eye(4), rotation((1, -1, 2), 30)], ids=["straight", "oblique"])
def test_a_ramp_in_space_is_reproduced_on_the_slices_and_back_on_the_volume_of_any_orientation(
    orientations: Orientations, shape: tuple[int, int, int], spacing: tuple[float, float, float], turn: Affine
) -> None:
    affine = turn @ affine_of(spacing)
    ramp = Volume(ramp_at(np.moveaxis(pixel_positions(shape, affine, shape[:2]), 0, 2)).astype(np.float32), affine)
    for volume, back in itertools.islice(orientations(ramp), 0, None, 5):
        grid = grid_of(volume)
        slices = grid.slices(volume.array)
        assert slices.shape == (shape[2], 1, *grid.slice_shape)
        expected = ramp_at(pixel_positions(shape, affine, grid.slice_shape))
        assert_same_ramp(np.moveaxis(slices[:, 0].numpy(), 0, 2), np.moveaxis(expected, 0, 2))
        assert_same_ramp(back(grid.volume(grid.to_plane(slices))), ramp.array)


@GRIDS
@pytest.mark.parametrize("pixel_size", [1.0, 1.5, 2.0])
def test_slices_span_what_the_volume_spans(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], pixel_size: float
) -> None:
    volume = Volume(counting_array(shape), rotation((2, 1, 1), 20) @ affine_of(spacing))
    grid = grid_of(volume, pixel_size)
    for pixels, voxels, size in zip(grid.slice_shape, shape, spacing, strict=False):
        assert pixels * pixel_size == pytest.approx(voxels * size, abs=pixel_size / 2 + 1e-6)
    assert grid.slice_count == shape[2]
    assert grid.plane_shape == shape[:2]


def test_shrinking_averages_over_all_pixels_rather_than_picking_some() -> None:
    array = np.random.default_rng(0).normal(10, 1, (128, 128, 3))
    slices = grid_of(Volume(array, affine_of((0.5, 0.5, 3.0)))).slices(array)
    assert slices.shape == (3, 1, 32, 32)
    assert slices.mean() == pytest.approx(10, abs=0.02)
    assert slices.std() < 1 / 4  # of the mean of 4 x 4 independent pixels


@pytest.mark.parametrize("shape", [(7, 48, 20), (40, 7, 20), (1, 1, 20)])
def test_a_volume_too_thin_to_slice_is_refused_in_every_orientation(
    orientations: Orientations, shape: tuple[int, int, int]
) -> None:
    for volume, _ in orientations(Volume(counting_array(shape), affine_of((2.0, 2.0, 2.0)))):
        with pytest.raises(UserError, match="too thin") as refusal:
            grid_of(volume)
        message = str(refusal.value)
        assert message.endswith(".") and "\n" not in message
        assert " x ".join(str(2 * n) for n in shape) in message


def test_a_volume_in_units_far_too_small_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(UserError, match="too large") as refusal:
        grid_of(Volume(counting_array((40, 48, 20)), affine_of((2000.0, 2000.0, 2000.0))))
    assert str(refusal.value).endswith(".") and "\n" not in str(refusal.value)


def test_a_single_slice_and_the_smallest_plane_are_enough(orientations: Orientations) -> None:
    for volume, _ in orientations(Volume(counting_array((16, 16, 1)), affine_of((2.0, 2.0, 5.0)))):
        assert grid_of(volume).slices(volume.array).shape == (1, 1, 16, 16)


# Padding --------------------------------------------------------------------------------------------------------------


MARGINS = pytest.mark.parametrize(("down", "right"), list(itertools.product(range(6), range(6))))


@MARGINS
def test_cropping_undoes_padding(down: int, right: int) -> None:
    slices = torch.rand(2, 1, 9, 12, generator=torch.Generator().manual_seed(0))
    padded = pad_to(slices, (9 + down, 12 + right))
    assert padded.shape == (2, 1, 9 + down, 12 + right)
    assert torch.equal(pad_to(padded, (9, 12)), slices)


@MARGINS
def test_padding_undoes_cropping_of_a_margin_of_zeros(down: int, right: int) -> None:
    inner = torch.rand(2, 1, 9, 12, generator=torch.Generator().manual_seed(0))
    slices = pad_to(inner, (9 + down, 12 + right))
    assert torch.equal(pad_to(pad_to(slices, (9, 12)), (9 + down, 12 + right)), slices)


@MARGINS
def test_padding_is_centered_and_of_zeros(down: int, right: int) -> None:
    padded = pad_to(torch.ones(1, 1, 9, 12), (9 + down, 12 + right))[0, 0]
    assert padded.sum() == 9 * 12
    for sums in (padded.sum(1), padded.sum(0)):
        filled = sums.nonzero().flatten()
        before, after = int(filled[0]), len(sums) - 1 - int(filled[-1])
        assert abs(before - after) <= 1


def test_padding_can_grow_one_side_and_crop_the_other() -> None:
    assert pad_to(torch.ones(3, 1, 9, 12), (13, 8)).shape == (3, 1, 13, 8)


@pytest.mark.parametrize("stride", [1, 2, 8, 16])
def test_padded_shape_is_the_smallest_multiple_that_holds_the_slice(stride: int) -> None:
    for height, width in itertools.product(range(1, 40, 3), range(1, 40, 4)):
        expected = tuple(next(m for m in range(n, n + stride) if m % stride == 0) for n in (height, width))
        assert padded_shape((height, width), stride) == expected


# Real scans -----------------------------------------------------------------------------------------------------------


SOURCES = ("_PDw", "_T2w", "_FLAIR")


@pytest.mark.parametrize(
    "folder",
    ["flair_t1w_pairs_2mm", "kirby113", "ms_mni_1mm", "ms_native", "simulated_head", "sri24_1mm", "templates_2mm"],
)
def test_every_real_scan_of_another_contrast_can_be_read_sliced_and_scaled(shared_data: Path, folder: str) -> None:
    scans = [path for path in sorted((shared_data / folder).glob("*.nii.gz")) if path.name[:-7].endswith(SOURCES)]
    assert scans, "the folder holds no scan"
    for path in scans:
        volume = read_volume(path)
        scaled = to_unit_scale(volume.array)
        assert 0.4 < np.median(scaled[head_mask(scaled)]) < 0.6, path
        slices = grid_of(volume).slices(scaled)
        assert slices.min() >= 0 and slices.max() <= 1 + 1e-5, path
        canonical = nib.as_closest_canonical(nib.Nifti1Image(scaled, volume.affine))
        extents = np.array(canonical.shape) * canonical.header.get_zooms()
        np.testing.assert_allclose(2 * np.array(slices.shape[-2:]), extents[:2], atol=1.001)
        assert len(slices) == canonical.shape[2]
        assert 0.1 < float((slices > 0.25).float().mean()) < 0.8, path
