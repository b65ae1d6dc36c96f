"""Properties of headers: what they do not say is not invented, and what they say is sound or refused by its name."""

import bz2
import gzip
import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from grids import AFFINES, affine_of, assert_same_in_space, counting_array

from LMIDiffusionLib.errors import ScanWarning, UserError
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume

SHAPE = (4, 5, 6)
VOXELS = counting_array(SHAPE)
NRRD = {
    "type": "int16",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 5 6",
    "space directions": "(2,0,0) (0,3,0) (0,0,4)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(1,2,3)",
}
METAIMAGE = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "1 2 3",
    "ElementSpacing": "2 3 4",
    "DimSize": "4 5 6",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
EXPECTED = Volume(VOXELS, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_of((2.0, 3.0, 4.0), (1.0, 2.0, 3.0)))
RAW = VOXELS.astype("<i2").tobytes(order="F")


def save_nrrd(path: Path, data: bytes = RAW, **changes: str | None) -> Path:
    fields = {**NRRD, **{name.replace("_", " "): value for name, value in changes.items()}}
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data)
    return path


def save_metaimage(path: Path, data: bytes = RAW, **changes: str | None) -> Path:
    fields = {**METAIMAGE, **changes}
    fields["ElementDataFile"] = fields.pop("ElementDataFile")  # the last one
    lines = [f"{name} = {value}\n" for name, value in fields.items() if value is not None]
    path.write_bytes("".join(lines).encode() + data)
    return path


def refusal_of(path: Path) -> str:
    with pytest.raises(UserError) as refusal:
        read_volume(path)
    message = str(refusal.value)
    assert message.endswith(".") and "\n" not in message and ". " not in message and message.startswith(str(path))
    return message


# NRRD -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii", "txt"])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_a_nrrd_of_any_encoding_is_the_same_volume(tmp_path: Path, encoding: str, endian: str) -> None:
    raw = VOXELS.astype({"little": "<i2", "big": ">i2"}[endian]).tobytes(order="F")
    text = "\n".join(map(str, VOXELS.ravel(order="F"))).encode()
    data = {"gzip": gzip.compress(raw), "bzip2": bz2.compress(raw), "raw": raw}.get(encoding, text)
    path = save_nrrd(tmp_path / "scan.nrrd", data, encoding=encoding, endian=endian)
    assert_same_in_space(read_volume(path), EXPECTED)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("space directions", {"space_directions": None}),
        ("space directions", {"space_directions": "(2,0,0) (0,inf,0) (0,0,4)"}),
        ("space directions", {"space_directions": "(2,0,0) (0,nan,0) (0,0,4)"}),
        ("space directions", {"space_directions": "(2,0,0) (2,0,0) (0,0,4)"}),
        ("space directions", {"space_directions": "(2,0,0) (0,3,0)"}),
        ("space origin", {"space_origin": None}),
        ("space origin", {"space_origin": "(1,2)"}),
        ("space units", {"space_units": '"furlong" "furlong" "furlong"'}),
        ("sizes", {"sizes": "4 5 x"}),
        ("dimension", {"dimension": "4"}),
        ("type", {"type": "quaternion"}),
        ("encoding", {"encoding": "zip"}),
        ("endian", {"endian": None}),
        ("fewer voxels", {"sizes": "4 5 7"}),
        ("more data", {"sizes": "4 5 5"}),
        ("fewer voxels", {"sizes": "1100 1100 1100"}),
        ("no voxels", {"sizes": "4 5 0"}),
        ("data file", {"data_file": "../secret.raw"}),
        ("data file", {"data_file": "/proc/self/environ"}),
        ("data file", {"data_file": "LIST"}),
        ("data file", {"data_file": "%03d.raw 1 6 1"}),
        ("lacks the file", {"data_file": "nowhere.raw"}),
    ],
)
def test_a_nrrd_header_is_refused_by_the_name_of_what_is_wrong(
    tmp_path: Path, field: str, changes: dict[str, Any]
) -> None:
    assert field in refusal_of(save_nrrd(tmp_path / "scan.nrrd", **changes))


def test_units_of_a_nrrd_are_obeyed(tmp_path: Path) -> None:
    larger: dict[str, Any] = {"space_directions": "(20000,0,0) (0,30000,0) (0,0,40000)"}
    larger["space_origin"] = "(1000,2000,3000)"
    path = save_nrrd(tmp_path / "scan.nrrd", **larger, space_units='"um" "um" "um"')
    expected = Volume(VOXELS, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_of((20.0, 30.0, 40.0), (1.0, 2.0, 3.0)))
    assert_same_in_space(read_volume(path), expected)


def test_a_nrrd_with_the_dimension_of_its_space_alone_is_read_with_a_notice(tmp_path: Path) -> None:
    path = save_nrrd(tmp_path / "scan.nrrd", space=None, space_dimension="3")
    with pytest.warns(ScanWarning, match="does not name its space"):
        assert_same_in_space(read_volume(path), EXPECTED)


# MetaImage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("ElementSpacing", {"ElementSpacing": None}),
        ("TransformMatrix", {"TransformMatrix": None}),
        ("Offset", {"Offset": None}),
        ("TransformMatrix", {"TransformMatrix": "2 0 0 0 1 0 0 0 1"}),
        ("TransformMatrix", {"TransformMatrix": ".1 0 0 0 1 0 0 0 1"}),
        ("TransformMatrix", {"TransformMatrix": "1 0 0 0 1e300 0 0 0 1"}),
        ("TransformMatrix", {"TransformMatrix": "1 0 0 0 nan 0 0 0 1"}),
        ("TransformMatrix", {"TransformMatrix": "1 0 0 .1 .995 0 0 0 1"}),
        ("TransformMatrix", {"TransformMatrix": "1 0 0 0 1 0"}),
        ("ElementSpacing", {"ElementSpacing": "2 3 inf"}),
        ("ElementSpacing", {"ElementSpacing": "2 -3 4"}),
        ("Offset", {"Offset": "1 2 nan"}),
        ("Offset", {"Offset": "1 2 3_0"}),
        ("DimSize", {"DimSize": "4 5 1_0"}),
        ("ElementDataFile", {"ElementDataFile": 3000 * "x"}),
        ("DistanceUnits", {"DistanceUnits": "furlong"}),
        ("NDims", {"NDims": "2147483647"}),
        ("NDims", {"NDims": "-1"}),
        ("NDims", {"NDims": "100"}),
        ("no voxels", {"DimSize": "4 5 0"}),
        ("fewer voxels", {"DimSize": "4 5 7"}),
        ("more data", {"DimSize": "4 5 5"}),
        ("fewer voxels", {"DimSize": "1100 1100 1100"}),
        ("ElementType", {"ElementType": "MET_OTHER"}),
        ("ElementDataFile", {"ElementDataFile": "%s%s%s%n 1 9 1"}),
        ("ElementDataFile", {"ElementDataFile": "LIST"}),
        ("ElementDataFile", {"ElementDataFile": "/etc/hostname"}),
        ("ElementDataFile", {"ElementDataFile": "a/b.raw"}),
    ],
)
def test_a_metaimage_header_is_refused_by_the_name_of_what_is_wrong(
    tmp_path: Path, field: str, changes: dict[str, Any]
) -> None:
    assert field in refusal_of(save_metaimage(tmp_path / "scan.mha", **changes))


@pytest.mark.parametrize(
    ("name", "line"), [("scan.nrrd", b"space origin: (%s,2,3)\n"), ("scan.mha", b"Offset = %s 2 3\n")]
)
def test_a_field_given_twice_is_refused_unless_both_agree(tmp_path: Path, name: str, line: bytes) -> None:
    """Programs differ in which of the two they obey."""
    path = save_nrrd(tmp_path / name) if name.endswith("nrrd") else save_metaimage(tmp_path / name)
    content = path.read_bytes()
    assert line % b"1" in content
    path.write_bytes(content.replace(line % b"1", line % b"1" + line % b"1"))
    assert_same_in_space(read_volume(path), EXPECTED)
    path.write_bytes(content.replace(line % b"1", line % b"1" + line % b"9"))
    assert "is given twice" in refusal_of(path)


def test_a_metaimage_of_text_or_packed_is_the_same_volume(tmp_path: Path) -> None:
    text = " ".join(map(str, VOXELS.ravel(order="F"))).encode()
    assert_same_in_space(read_volume(save_metaimage(tmp_path / "text.mha", text, BinaryData="False")), EXPECTED)
    packed = zlib.compress(RAW)
    path = save_metaimage(tmp_path / "packed.mha", packed, CompressedData="True", CompressedDataSize=f"{len(packed)}")
    assert_same_in_space(read_volume(path), EXPECTED)


def test_units_and_scale_of_a_metaimage_are_obeyed(tmp_path: Path) -> None:
    path = save_metaimage(
        tmp_path / "scan.mha",
        ElementToIntensityFunctionSlope="2.5",
        ElementToIntensityFunctionOffset="-7",
        DistanceUnits="cm",
    )
    expected = Volume(VOXELS * 2.5 - 7, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_of((20.0, 30.0, 40.0), (10, 20, 30)))
    assert_same_in_space(read_volume(path), expected)


# NIfTI, MGH and Analyze -----------------------------------------------------------------------------------------------


def patched(path: Path, offset: int, form: str, *values: float) -> Path:
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)
    return path


def save_nifti(path: Path, *, sform: int, qform: int) -> Path:
    image = nib.Nifti1Image(VOXELS, AFFINES["oblique"])
    image.set_qform(AFFINES["oblique"], qform)
    image.set_sform(AFFINES["oblique"], sform)
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    ("field", "codes", "patch"),
    [
        ("vox_offset", (1, 1), (108, "<f", 0.0)),
        ("vox_offset", (1, 1), (108, "<f", 347.0)),
        ("vox_offset", (1, 1), (108, "<f", float("nan"))),
        ("pixdim", (0, 1), (80, "<3f", 2.0, 2.0, 0.0)),
        ("pixdim", (0, 0), (80, "<3f", 2.0, float("inf"), 2.0)),
        ("quatern_b", (0, 1), (256, "<3f", 0.9, 0.9, 0.9)),
        ("qoffset_x", (0, 1), (268, "<3f", 1.0, 2.0, float("nan"))),
        ("srow_x", (1, 1), (280, "<4f", 0.0, 0.0, 0.0, 0.0)),
        ("srow_x", (1, 1), (280, "<4f", float("inf"), 0.0, 0.0, 0.0)),
        ("dim[0]", (1, 1), (40, "<h", 0)),
        ("sform_code", (1, 1), (254, "<h", 32609)),
        ("qform_code", (0, 1), (252, "<h", -2)),
        ("no voxels", (1, 1), (42, "<h", -4)),
        ("fewer voxels", (1, 1), (46, "<h", 7)),
        ("more data", (1, 1), (46, "<h", 5)),
    ],
)
def test_a_nifti_header_is_refused_by_the_name_of_what_is_wrong(
    tmp_path: Path, field: str, codes: tuple[int, int], patch: tuple[Any, ...]
) -> None:
    path = save_nifti(tmp_path / "scan.nii", sform=codes[0], qform=codes[1])
    # Two thousand times as many voxels as a file of this size may hold zeros after them.
    data = path.read_bytes()
    path.write_bytes(data[:352] + np.ones(SHAPE, np.int16).tobytes()[:-2] + b"\1\1")
    assert field in refusal_of(patched(path, *patch))


def test_unused_dimensions_of_zero_are_none(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "scan.nii", sform=1, qform=1)
    patched(path, 40, "<8h", 5, *SHAPE, 0, 0, 1, 1)
    np.testing.assert_array_equal(read_volume(path).array, VOXELS)


def test_a_few_zeros_after_the_voxels_are_no_damage(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "scan.nii", sform=1, qform=1)
    path.write_bytes(path.read_bytes() + bytes(512))
    np.testing.assert_array_equal(read_volume(path).array, VOXELS)


def test_a_nifti_without_orientation_is_read_with_a_notice(tmp_path: Path) -> None:
    with pytest.warns(ScanWarning, match="qform_code"):
        read_volume(save_nifti(tmp_path / "scan.nii", sform=0, qform=0))


@pytest.mark.parametrize(
    ("field", "patch"),
    [
        ("goodRASFlag", (28, ">h", 0)),
        ("delta", (30, ">3f", 1.0, 0.0, 1.0)),
        ("delta", (30, ">3f", 1.0, float("nan"), 1.0)),
        ("Mdc", (42, ">3f", 2.0, 0.0, 0.0)),
        ("Mdc", (42, ">3f", float("inf"), 0.0, 0.0)),
        ("Pxyz_c", (78, ">3f", float("nan"), 0.0, 0.0)),
        ("no voxels", (4, ">i", 0)),
        ("fewer voxels", (4, ">i", 40)),
    ],
)
def test_a_mgh_header_is_refused_by_the_name_of_what_is_wrong(
    tmp_path: Path, field: str, patch: tuple[Any, ...]
) -> None:
    nib.save(nib.MGHImage(VOXELS, np.diag([1.0, 1.0, 1.0, 1.0])), tmp_path / "scan.mgh")
    assert field in refusal_of(patched(tmp_path / "scan.mgh", *patch))


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4"])
def test_a_mgh_of_any_type_is_read_as_nibabel_reads_it(tmp_path: Path, dtype: str) -> None:
    image = nib.MGHImage(VOXELS.astype(dtype), AFFINES["oblique"])
    nib.save(image, tmp_path / "scan.mgz")
    assert_same_in_space(read_volume(tmp_path / "scan.mgz"), Volume(np.asarray(image.dataobj), image.affine))


def test_a_short_or_odd_analyze_header_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Spm99AnalyzeImage(VOXELS, np.diag([2.0, 2.0, 2.0, 1.0])), tmp_path / "scan.img")
    header = (tmp_path / "scan.hdr").read_bytes()
    for data in (b"", header[:100], header[:347]):
        (tmp_path / "scan.hdr").write_bytes(data)
        refusal_of(tmp_path / "scan.hdr")
    (tmp_path / "scan.hdr").write_bytes(header)
    (tmp_path / "scan.mat").write_bytes(b"no matrix")
    refusal_of(tmp_path / "scan.img")


# Bombs and files that are none ----------------------------------------------------------------------------------------


def bomb(header: bytes, path: Path, *, times: int) -> Path:
    """A file of a few kilobytes that unpacks to 400 megabytes."""
    data = gzip.compress(header + bytes(400_000_000), 1)
    for _ in range(times - 1):
        data = gzip.compress(data)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("times", [1, 2, 3])
def test_no_more_is_unpacked_than_a_header_claims(tmp_path: Path, times: int) -> None:
    save_nifti(tmp_path / "scan.nii", sform=1, qform=1)
    header = (tmp_path / "scan.nii").read_bytes()[:352]
    path = bomb(header, tmp_path / "scan.nii.gz", times=times)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal_of(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


def test_a_claim_that_so_small_a_file_cannot_hold_takes_no_memory(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "scan.nii", sform=1, qform=1)
    patched(path, 42, "<3h", 1100, 1100, 1100)
    for data in (path.read_bytes(), gzip.compress(path.read_bytes())):
        path.write_bytes(data)
        assert "fewer voxels" in refusal_of(path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_a_data_file_that_is_none_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "voxels.raw")
    assert "lacks the file" in refusal_of(save_nrrd(tmp_path / "scan.nhdr", b"", data_file="voxels.raw"))
    assert "lacks the file" in refusal_of(save_metaimage(tmp_path / "scan.mhd", b"", ElementDataFile="voxels.raw"))


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scan.nii")
    refusal_of(tmp_path / "scan.nii")


def test_a_link_or_pointer_without_its_content_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").symlink_to(".git/annex/objects/aa/bb/KEY")
    assert "git annex get" in refusal_of(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    assert "git lfs pull" in refusal_of(tmp_path / "b.nii.gz")


# Writing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bool", "float16", ">f4", ">i2", "float64", "int64", "uint16", "uint8"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha", ".mgz"])
def test_voxels_of_any_real_type_are_written(tmp_path: Path, dtype: str, ending: str) -> None:
    volume = Volume((VOXELS % 2).astype(dtype), AFFINES["oblique"])
    write_volume(tmp_path / f"scan{ending}", volume)
    found = read_volume(tmp_path / f"scan{ending}")
    np.testing.assert_array_equal(found.array, volume.array)
    if ending in (".nrrd", ".mha"):
        image = sitk.ReadImage(str(tmp_path / f"scan{ending}"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, volume.array)


@pytest.mark.parametrize("name", ["t1w", "t1w.img", "t1w.mhd", "t1w.png"])
def test_a_name_without_a_volumes_ending_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"must end in \.nii\.gz"):
        write_volume(tmp_path / name, Volume(VOXELS, np.eye(4)))
    assert list(tmp_path.iterdir()) == []
