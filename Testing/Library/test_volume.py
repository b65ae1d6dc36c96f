"""Properties of NIfTI input and output."""

import gzip
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from grids import SHAPE, Affine, affine_of, counting_array, rotation
from numpy.typing import NDArray

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.volume import Volume, read_mask, read_volume, write_volume

GEOMETRY = [
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
]
IMAGE_CLASSES = pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])


def load(path: Path) -> Any:
    """A NIfTI image, as nibabel reads it."""
    return nib.load(path)


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


def test_a_volume_that_nifti_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(nib.spatialimages.HeaderDataError):
        write_volume(tmp_path / "scan.nii.gz", Volume(counting_array(dtype="float16"), np.eye(4)))
    assert list(tmp_path.iterdir()) == []
