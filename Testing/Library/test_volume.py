"""Properties of NIfTI input and output, and of the axial grid."""

import gzip
import itertools
import math
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.intensity import head_mask, to_unit_scale
from LMIDiffusionLib.volume import (
    AxialGrid,
    Volume,
    atomic_path,
    pad_to,
    padded_shape,
    read_mask,
    read_volume,
    write_volume,
)

Affine = NDArray[np.float64]
Array = NDArray[np.number]
Orientations = Callable[[Volume], Iterator[tuple[Volume, Callable[[Array], Array]]]]

SHAPE = (11, 12, 13)
GEOMETRY = [
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
]
IMAGE_CLASSES = pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])


def load(path: Path) -> Any:
    """A NIfTI image, as nibabel reads it."""
    return nib.load(path)


def counting_array(shape: tuple[int, ...] = SHAPE, dtype: str = "int16") -> Array:
    return (np.arange(math.prod(shape)) % 120).reshape(shape).astype(dtype)


def rotation(axis: tuple[float, float, float], degrees: float) -> Affine:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(degrees * np.array(axis) / np.linalg.norm(axis), degrees=True).as_matrix()
    return matrix


def affine_of(spacing: tuple[float, float, float], origin: tuple[float, float, float] = (-31.7, 12.3, 5.1)) -> Affine:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return affine


AFFINES = {
    "straight": affine_of((0.9, 1.1, 3.3)),
    "left-handed": affine_of((-0.9, 1.1, 3.3)),
    "oblique": rotation((1, 2, 3), 25) @ affine_of((0.9, 1.1, 3.3)),
    "oblique left-handed": rotation((3, -1, 2), 33) @ affine_of((0.9, -1.1, 3.3)),
    "permuted": affine_of((0.9, 1.1, 3.3))[:, [2, 0, 1, 3]],
}


# Files ----------------------------------------------------------------------------------------------------------------


@IMAGE_CLASSES
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize(("qform", "sform"), [(1, 0), (0, 1), (1, 2), (3, 4), (1, 1)])
def test_round_trip_keeps_the_geometry_bit_for_bit(
    tmp_path: Path, image_class: Any, suffix: str, affine: Affine, qform: int, sform: int
) -> None:
    image = image_class(counting_array(), None)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.7
    if qform:
        image.set_qform(affine, qform)
    if sform:  # elsewhere than the quaternions say, as after a registration
        image.set_sform(rotation((0, 0, 1), 10) @ affine, sform)
    source, copy = tmp_path / f"source{suffix}", tmp_path / f"copy{suffix}"
    nib.save(image, source)
    volume = read_volume(source)
    write_volume(copy, volume.with_array(volume.array.astype(np.float32) / 7))
    before, after = load(source), load(copy)
    assert isinstance(after, image_class)
    for field in GEOMETRY:
        assert after.header[field].tobytes() == before.header[field].tobytes(), field
    assert after.shape == SHAPE
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(volume.affine, before.affine)
    np.testing.assert_array_equal(read_volume(copy).array, counting_array(dtype="float32") / 7)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_volume_made_in_memory_is_written_with_its_affine(tmp_path: Path, affine: Affine) -> None:
    write_volume(tmp_path / "made.nii.gz", Volume(counting_array(), affine))
    read = read_volume(tmp_path / "made.nii.gz")
    np.testing.assert_allclose(read.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(read.array, counting_array())


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64", ">i2", ">f4"]
)
def test_round_trip_keeps_values_and_type_of_voxels(tmp_path: Path, dtype: str) -> None:
    array = counting_array(dtype=dtype)
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    nib.save(nib.Nifti1Image(array, np.eye(4), header, dtype=array.dtype), tmp_path / "source.nii.gz")
    volume = read_volume(tmp_path / "source.nii.gz")
    write_volume(tmp_path / "copy.nii.gz", volume)
    copy = read_volume(tmp_path / "copy.nii.gz")
    assert copy.array.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_array_equal(copy.array, array)


def test_scaled_integers_are_read_as_the_values_they_stand_for(tmp_path: Path) -> None:
    path = tmp_path / "scaled.nii"
    nib.save(nib.Nifti1Image(counting_array(), np.eye(4)), path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<ff", data, 112, 2.5, -10.0)  # scl_slope and scl_inter
    path.write_bytes(data)
    np.testing.assert_array_equal(read_volume(path).array, 2.5 * counting_array() - 10)


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
def test_trailing_dimensions_of_one_are_dropped(tmp_path: Path, extra: tuple[int, ...]) -> None:
    nib.save(nib.Nifti1Image(counting_array().reshape(*SHAPE, *extra), AFFINES["oblique"]), tmp_path / "scan.nii.gz")
    volume = read_volume(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(volume.array, counting_array())
    write_volume(tmp_path / "copy.nii.gz", volume)
    assert load(tmp_path / "copy.nii.gz").shape == SHAPE
    np.testing.assert_array_equal(read_volume(tmp_path / "copy.nii.gz").affine, volume.affine)


def saved(path: Path, array: NDArray[Any], affine: Affine | None = None) -> Path:
    image = nib.Nifti1Image(array, None)
    image.header.set_sform(np.eye(4) if affine is None else affine, 1)
    nib.save(image, path)
    return path


def with_value(value: float) -> NDArray[np.float32]:
    array = counting_array().astype(np.float32)
    array[3, 4, 5] = value
    return array


def truncated(path: Path, share: float) -> Path:
    data = saved(path, np.random.default_rng(0).integers(0, 999, SHAPE).astype(np.int16)).read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def patched(path: Path, offset: int, layout: str, *values: float) -> Path:
    data = bytearray(gzip.decompress(saved(path, counting_array()).read_bytes()))
    struct.pack_into(layout, data, offset, *values)
    path.write_bytes(gzip.compress(bytes(data)))
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def with_flipped_bit(path: Path) -> Path:
    """Damage that decompresses to as many voxels, with other values."""
    array = np.random.default_rng(0).integers(0, 999, SHAPE).astype(np.int16)
    data = bytearray(saved(path, array).read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert not np.array_equal(load(path).dataobj, array), "nibabel sees the damage itself"
    return path


def mgh_file(path: Path) -> Path:
    nib.save(nib.MGHImage(counting_array(), np.eye(4)), path)
    return path


COLOUR = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
BAD_FILES: dict[str, Callable[[Path], Path]] = {
    "missing": lambda folder: folder / "missing.nii.gz",
    "directory": lambda folder: folder,
    "empty file": lambda folder: written(folder / "nothing.nii", b""),
    "empty compressed file": lambda folder: written(folder / "nothing.nii.gz", b""),
    "text": lambda folder: written(folder / "notes.nii", b"The patient moved.\nTwice.\n" * 50),
    "text called compressed": lambda folder: written(folder / "notes.nii.gz", b"The patient moved.\nTwice.\n" * 50),
    "compressed text": lambda folder: written(folder / "notes.nii.gz", gzip.compress(b"Twice.\n" * 99)),
    "text file": lambda folder: written(folder / "notes.txt", b"The patient moved.\nTwice.\n" * 50),
    "wrong suffix": lambda folder: saved(folder / "scan.nii", counting_array()).rename(folder / "scan.png"),
    "not compressed": lambda folder: saved(folder / "scan.nii", counting_array()).rename(folder / "scan.nii.gz"),
    **{
        f"truncated{suffix} at {share}": lambda folder, suffix=suffix, share=share: truncated(  # type: ignore[misc]
            folder / f"scan{suffix}", share
        )
        for suffix in (".nii", ".nii.gz")
        for share in (0.002, 0.05, 0.5, 0.99)
    },
    "one bit of the compressed data flipped": lambda folder: with_flipped_bit(folder / "scan.nii.gz"),
    "unknown data type": lambda folder: patched(folder / "scan.nii.gz", 70, "<h", 9999),
    "negative size": lambda folder: patched(folder / "scan.nii.gz", 42, "<h", -7),
    "size beyond all memory": lambda folder: patched(folder / "scan.nii.gz", 40, "<4h", 3, 32767, 32767, 32767),
    "data inside the header": lambda folder: patched(folder / "scan.nii.gz", 108, "<f", 8.0),
    "MGH": lambda folder: mgh_file(folder / "scan.mgz"),
    "four dimensions": lambda folder: saved(folder / "scan.nii.gz", counting_array((5, 6, 7, 2))),
    "two dimensions": lambda folder: saved(folder / "scan.nii.gz", counting_array((5, 6))),
    "colours": lambda folder: saved(folder / "scan.nii.gz", np.zeros(SHAPE, COLOUR)),
    "complex": lambda folder: saved(folder / "scan.nii.gz", with_value(2).astype(np.complex64)),
    "NaN": lambda folder: saved(folder / "scan.nii.gz", with_value(math.nan)),
    "infinity": lambda folder: saved(folder / "scan.nii.gz", with_value(-math.inf)),
    "constant": lambda folder: saved(folder / "scan.nii.gz", np.full(SHAPE, 7, np.int16)),
    "singular affine": lambda folder: saved(folder / "scan.nii.gz", counting_array(), np.diag([2.0, 0, 2, 1])),
    "parallel axes": lambda folder: saved(
        folder / "scan.nii.gz", counting_array(), np.eye(4)[:, [0, 1, 1, 3]] + np.diag([1.0, 0, 0, 0])
    ),
    "axes parallel but for rounding": lambda folder: saved(
        folder / "scan.nii.gz", counting_array(), np.eye(4)[:, [0, 0, 2, 3]] * 1e10 + np.diag([0, 1e-7, 0, 0])
    ),
    "affine of NaN": lambda folder: saved(folder / "scan.nii.gz", counting_array(), np.diag([2, math.nan, 2, 1])),
}


def assert_one_sentence(message: str, path: Path) -> None:
    """One line that names the file, ends with a full stop and has no other sentence before it."""
    assert str(path) in message
    assert message.endswith(".")
    assert not message.endswith("..")
    assert "\n" not in message
    assert ". " not in message


@pytest.mark.parametrize("make", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_in_one_sentence_that_names_it(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError) as refusal:
        read_volume(path)
    assert_one_sentence(str(refusal.value), path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_without_voxels_is_refused_as_such(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"scan{suffix}", np.zeros((5, 0, 6), np.int16))
    with pytest.raises(UserError, match="no voxels") as refusal:
        read_volume(path)
    assert_one_sentence(str(refusal.value), path)


def test_no_damage_to_the_header_raises_anything_else(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    path = tmp_path / "scan.nii"
    data = saved(path, counting_array()).read_bytes()
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for offset in generator.integers(0, 352, 3):
            damaged[offset] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            volume = read_volume(path)
        except UserError as error:
            assert_one_sentence(str(error), path)
            refused += 1
        else:
            assert volume.array.ndim == 3
            assert np.isfinite(volume.affine).all()
    assert 10 < refused < 290


# Masks ----------------------------------------------------------------------------------------------------------------


def test_a_mask_holds_every_voxel_other_than_zero(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-1, 3, SHAPE).astype(np.int16)
    reference = Volume(counting_array(), AFFINES["oblique"])
    mask = read_mask(saved(tmp_path / "mask.nii.gz", values[..., None], AFFINES["oblique"]), reference)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, values != 0)


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((11, 12, 14), AFFINES["straight"]),
        ((12, 11, 13), AFFINES["straight"]),
        (SHAPE, AFFINES["left-handed"]),
        (SHAPE, affine_of((0.9, 1.1, 3.3), (-31.7, 13.3, 5.1))),
        (SHAPE, affine_of((0.9, 1.1, 3.4))),
    ],
    ids=["larger", "transposed", "mirrored", "shifted", "stretched"],
)
def test_a_mask_on_another_grid_is_refused(tmp_path: Path, shape: tuple[int, ...], affine: Affine) -> None:
    path = saved(tmp_path / "mask.nii.gz", counting_array(shape), affine)
    with pytest.raises(UserError) as refusal:
        read_mask(path, Volume(counting_array(), AFFINES["straight"]))
    assert_one_sentence(str(refusal.value), path)


def test_a_mask_with_a_rounded_affine_is_accepted(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.nii.gz", counting_array(), AFFINES["oblique"].round(3))
    assert read_mask(path, Volume(counting_array(), AFFINES["oblique"])).any()


def test_a_mask_of_ones_holds_everything_and_one_of_zeros_is_refused(tmp_path: Path) -> None:
    reference = Volume(counting_array(), AFFINES["straight"])
    path = saved(tmp_path / "mask.nii.gz", np.ones(SHAPE, np.uint8), AFFINES["straight"])
    assert read_mask(path, reference).all()
    path = saved(tmp_path / "mask.nii.gz", np.zeros(SHAPE, np.uint8), AFFINES["straight"])
    with pytest.raises(UserError, match="is empty") as refusal:
        read_mask(path, reference)
    assert_one_sentence(str(refusal.value), path)


# Atomic writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "weights.safetensors", "plain"])
def test_a_finished_write_leaves_the_file_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary != path
        assert temporary.name.endswith("".join(path.suffixes))
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_nothing_new(tmp_path: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "scan.nii.gz") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == []


def test_an_exception_keeps_the_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_volume_that_nifti_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(nib.spatialimages.HeaderDataError):
        write_volume(tmp_path / "scan.nii.gz", Volume(counting_array(dtype="float16"), np.eye(4)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_the_mode_of_a_new_file_follows_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_volume(tmp_path / "scan.nii", Volume(counting_array(), np.eye(4)))
        assert os.umask(mask) == mask, "the umask was changed"
    finally:
        os.umask(before)
    assert (tmp_path / "scan.nii").stat().st_mode & 0o777 == 0o666 & ~mask


# Axial grid -----------------------------------------------------------------------------------------------------------

ROTATIONS = [
    (axis, degrees)
    for axis, degrees in itertools.product([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, -2, 0.5), (1, 1, 1)], [-40.0, 15.0])
]


def grid_of(volume: Volume, pixel_size: float = 2.0) -> AxialGrid:
    return AxialGrid(volume.array.shape, volume.affine, pixel_size=pixel_size)


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
    assert grid.slice_spacing == pytest.approx(spacing[2])
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
def test_padding_is_centred_and_of_zeros(down: int, right: int) -> None:
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
