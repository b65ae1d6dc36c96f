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
from grids import AFFINES, SHAPE, Affine, affine_of, counting_array, rotation
from numpy.typing import NDArray

from LMIDiffusionLib.errors import ScanWarning, UserError
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume

GEOMETRY = [
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
]
IMAGE_CLASSES = pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])


def load(path: Path) -> Any:
    """A NIfTI image, as nibabel reads it."""
    return nib.load(path)


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


def without_size(path: Path) -> Path:
    """A file whose quaternions tell how voxels lie, and nothing how large they are."""
    image: Any = nib.Nifti1Image(counting_array(), None)
    image.header.set_qform(np.eye(4), 1)
    data = bytearray(image.to_bytes())
    struct.pack_into("<f", data, 88, 0.0)
    return written(path, bytes(data))


def with_flipped_bit(path: Path) -> Path:
    """Damage that decompresses to as many voxels, with other values."""
    array = np.random.default_rng(0).integers(0, 999, SHAPE).astype(np.int16)
    data = bytearray(saved(path, array).read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert not np.array_equal(load(path).dataobj, array), "nibabel sees the damage itself"
    return path


def half_of_a_pair(path: Path) -> Path:
    nib.save(nib.Nifti1Pair(counting_array(), np.eye(4)), path)
    path.with_suffix(".hdr").unlink()
    return path


COLOR = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
BAD_FILES: dict[str, Callable[[Path], Path]] = {
    "missing": lambda folder: folder / "missing.nii.gz",
    "directory": lambda folder: folder,
    "empty file": lambda folder: written(folder / "nothing.nii", b""),
    "empty compressed file": lambda folder: written(folder / "nothing.nii.gz", b""),
    "text": lambda folder: written(folder / "notes.nii", b"The patient moved.\nTwice.\n" * 50),
    "text called compressed": lambda folder: written(folder / "notes.nii.gz", b"The patient moved.\nTwice.\n" * 50),
    "compressed text": lambda folder: written(folder / "notes.nii.gz", gzip.compress(b"Twice.\n" * 99)),
    "text file": lambda folder: written(folder / "notes.txt", b"The patient moved.\nTwice.\n" * 50),
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
    "four dimensions": lambda folder: saved(folder / "scan.nii.gz", counting_array((5, 6, 7, 2))),
    "two dimensions": lambda folder: saved(folder / "scan.nii.gz", counting_array((5, 6))),
    "colors": lambda folder: saved(folder / "scan.nii.gz", np.zeros(SHAPE, COLOR)),
    "complex": lambda folder: saved(folder / "scan.nii.gz", with_value(2).astype(np.complex64)),
    "one value beside NaN": lambda folder: saved(
        folder / "scan.nii.gz", np.where(counting_array() % 2 == 0, math.nan, 1).astype(np.float32)
    ),
    "NaN alone": lambda folder: saved(folder / "scan.nii.gz", np.full(SHAPE, math.nan, np.float32)),
    "half of a pair": lambda folder: half_of_a_pair(folder / "scan.img"),
    "constant": lambda folder: saved(folder / "scan.nii.gz", np.full(SHAPE, 7, np.int16)),
    "singular affine": lambda folder: saved(folder / "scan.nii.gz", counting_array(), np.diag([2.0, 0, 2, 1])),
    "parallel axes": lambda folder: saved(
        folder / "scan.nii.gz", counting_array(), np.eye(4)[:, [0, 1, 1, 3]] + np.diag([1.0, 0, 0, 0])
    ),
    "axes parallel but for rounding": lambda folder: saved(
        folder / "scan.nii.gz", counting_array(), np.eye(4)[:, [0, 0, 2, 3]] * 1e10 + np.diag([0, 1e-7, 0, 0])
    ),
    "voxels of size 0": lambda folder: without_size(folder / "scan.nii"),
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


def test_a_volume_that_nifti_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="complex"):
        write_volume(tmp_path / "scan.nii.gz", Volume(counting_array(dtype="complex64"), np.eye(4)))
    assert list(tmp_path.iterdir()) == []


# Files in other tools ------------------------------------------------------------------------------------------------


def plain(array: NDArray[Any] | None = None) -> bytes:
    """A NIfTI file that is not compressed."""
    return bytes(nib.Nifti1Image(counting_array() if array is None else array, AFFINES["oblique"]).to_bytes())


@pytest.mark.parametrize(
    ("name", "data"),
    {
        "not compressed": ("scan.nii.gz", plain()),
        "compressed": ("scan.nii", gzip.compress(plain())),
        "compressed twice": ("scan.nii.gz", gzip.compress(gzip.compress(plain()))),
        "text after the end": ("scan.nii.gz", gzip.compress(plain()) + b"written by a tool"),
        "zeros after the end": ("scan.nii.gz", gzip.compress(plain()) + bytes(512)),
        "two members": ("scan.nii.gz", gzip.compress(plain()[:900]) + gzip.compress(plain()[900:])),
        "no ending": ("scan", plain()),
        "another ending": ("scan.dat", gzip.compress(plain())),
        "capitals": ("SCAN.NII.GZ", gzip.compress(plain())),
    }.values(),
)
def test_a_file_is_read_by_its_content_whatever_its_name(tmp_path: Path, name: str, data: bytes) -> None:
    volume = read_volume(written(tmp_path / name, data))
    np.testing.assert_array_equal(volume.array, counting_array())
    np.testing.assert_allclose(volume.affine, AFFINES["oblique"], atol=1e-5)


@pytest.mark.parametrize("pair_class", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize(("image", "header"), [("a.img", "a.hdr"), ("a.img.gz", "a.hdr.gz"), ("a.img", "a.HDR")])
def test_either_file_of_a_pair_stands_for_both(tmp_path: Path, pair_class: Any, image: str, header: str) -> None:
    nib.save(pair_class(counting_array(), AFFINES["oblique"]), tmp_path / image)
    written_header = next(path for path in tmp_path.iterdir() if ".hdr" in path.name.lower())
    written_header.rename(tmp_path / header)
    for name in (image, header):
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.array, counting_array())
        np.testing.assert_allclose(volume.affine, AFFINES["oblique"], atol=1e-5)
        write_volume(tmp_path / "copy.nii", volume)
        np.testing.assert_array_equal(load(tmp_path / "copy.nii").affine, volume.affine)


def test_an_analyze_file_is_read_with_a_word_on_left_and_right(tmp_path: Path) -> None:
    nib.save(nib.Spm99AnalyzeImage(counting_array(), np.diag([-2.0, 2, 3, 1])), tmp_path / "scan.img")
    (tmp_path / "scan.mat").unlink()
    with pytest.warns(ScanWarning, match="left from right"):
        volume = read_volume(tmp_path / "scan.hdr")
    np.testing.assert_array_equal(volume.array, counting_array())
    np.testing.assert_allclose(volume.affine[:3, :3], np.diag([-2.0, 2, 3]))


def test_a_slope_without_an_intercept_has_one_of_zero(tmp_path: Path) -> None:
    path = patched(tmp_path / "scan.nii.gz", 112, "<ff", 2.5, math.nan)
    np.testing.assert_array_equal(read_volume(path).array, 2.5 * counting_array())


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 0.001)])
def test_metres_and_microns_are_converted_and_written_back_as_they_were(
    tmp_path: Path, unit: str, factor: float
) -> None:
    millimeters = affine_of((9.0, 8.0, 7.0))
    image = nib.Nifti1Image(counting_array(), np.diag([1 / factor] * 3 + [1]) @ millimeters)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "scan.nii.gz")
    volume = read_volume(tmp_path / "scan.nii.gz")
    np.testing.assert_allclose(volume.affine, millimeters, rtol=1e-5)
    write_volume(tmp_path / "copy.nii.gz", volume)
    for field in GEOMETRY:
        assert load(tmp_path / "copy.nii.gz").header[field].tobytes() == image.header[field].tobytes(), field


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_a_unit_under_which_nothing_could_be_a_head_is_not_believed(tmp_path: Path, unit: str) -> None:
    image = nib.Nifti1Image(counting_array(), affine_of((9.0, 8.0, 7.0)))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "scan.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii.gz").affine, affine_of((9.0, 8.0, 7.0)), rtol=1e-5)


def test_nibabels_remarks_on_a_header_stay_out_of_sight(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = patched(tmp_path / "scan.nii.gz", 80, "<3f", -2.0, 0.0, 2.0)
    read_volume(path)
    assert not caplog.records
    load(path)
    assert caplog.records, "nibabel has nothing to say of this header"


# Voxels without a value -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_voxels_without_a_value_outside_the_head_are_air_and_counted(
    tmp_path: Path, head: Volume, value: float
) -> None:
    array = np.where(head.array > 150, head.array, 0)
    path = saved(tmp_path / "scan.nii.gz", np.where(array > 0, array, np.float32(value)), head.affine)
    with pytest.warns(ScanWarning, match=f"has {int((array == 0).sum())} NaN or infinite voxels"):
        volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, array)


def test_a_few_lost_voxels_of_the_head_do_no_harm_and_a_hole_or_lost_slices_do(tmp_path: Path, head: Volume) -> None:
    few, hole, slices = (head.array.copy() for _ in range(3))
    few[20, 24, 8:11] = np.nan
    hole[15:25, 15:30, 7:13] = np.nan
    slices[:, :, 10] = np.nan
    with pytest.warns(ScanWarning, match="has 3 NaN"):
        assert np.isfinite(read_volume(saved(tmp_path / "few.nii", few, head.affine)).array).all()
    for name, array in (("hole", hole), ("slices", slices)):
        path = saved(tmp_path / f"{name}.nii", array, head.affine)
        with pytest.raises(UserError, match=r"in \d+% of the head") as refusal:
            read_volume(path)
        assert_one_sentence(str(refusal.value), path)
