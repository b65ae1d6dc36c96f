"""Properties of files that are not NIfTI: where voxels lie that are read and written, and what is refused."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from grids import AFFINES, Affine, affine_of, assert_same_in_space, counting_array
from numpy.typing import NDArray

from LMIDiffusionLib.errors import ScanWarning, UserError
from LMIDiffusionLib.images.files import VOLUME_ENDINGS
from LMIDiffusionLib.images.masks import read_mask
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume

Orientations = Callable[[Volume], Iterator[tuple[Volume, Any]]]
Writer = Callable[[Path, Volume], None]

LPS, RAS, LAS = (np.diag([*signs, 1.0]) for signs in ((-1, -1, 1), (1, 1, 1), (-1, 1, 1)))


# Other libraries' writing and reading, with their own words for space ------------------------------------------------


def save_nrrd(path: Path, volume: Volume, *, space: str = "left-posterior-superior", flip: Affine = LPS) -> None:
    affine = flip @ volume.affine
    header = {"space": space, "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]}
    nrrd.write(str(path), volume.array, header, detached_header=path.suffix == ".nhdr")


def load_nrrd(path: Path) -> Volume:
    array, header = nrrd.read(str(path))
    assert header["space"] == "left-posterior-superior"
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
    return Volume(array, LPS @ affine)


def save_metaimage(path: Path, volume: Volume) -> None:
    affine = LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.T))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path), path.suffix == ".mha")


def load_metaimage(path: Path) -> Volume:
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    for axis in range(3):
        step = [int(axis == each) for each in range(3)]
        affine[:3, axis] = np.subtract(
            image.TransformIndexToPhysicalPoint(step), image.TransformIndexToPhysicalPoint((0, 0, 0))
        )
    affine[:3, 3] = image.TransformIndexToPhysicalPoint((0, 0, 0))
    return Volume(sitk.GetArrayFromImage(image).T, LPS @ affine)


def save_by_nibabel(path: Path, volume: Volume) -> None:
    kind: Any = nib.MGHImage if path.suffix in (".mgh", ".mgz") else nib.Nifti1Pair
    nib.save(kind(volume.array, volume.affine), path)


def load_by_nibabel(path: Path) -> Volume:
    image: Any = nib.load(path)
    return Volume(np.asarray(image.dataobj), image.affine)


SAVERS: dict[str, Writer] = {
    "scan.nrrd": save_nrrd,
    "scan.nhdr": save_nrrd,
    "scan.mha": save_metaimage,
    "scan.mhd": save_metaimage,
    "scan.mgh": save_by_nibabel,
    "scan.mgz": save_by_nibabel,
    "scan.img": save_by_nibabel,
}
LOADERS = {".nrrd": load_nrrd, ".mha": load_metaimage, ".mgz": load_by_nibabel, ".nii": load_by_nibabel}
LOADERS[".nii.gz"] = load_by_nibabel


@pytest.mark.parametrize("name", SAVERS)
def test_a_file_of_another_tool_lies_where_it_says_in_every_orientation(
    tmp_path: Path, orientations: Orientations, name: str
) -> None:
    for turned, _ in orientations(Volume(counting_array((4, 5, 6)), AFFINES["oblique"])):
        SAVERS[name](tmp_path / name, turned)
        found = read_volume(tmp_path / name)
        np.testing.assert_array_equal(found.array, turned.array)
        assert_same_in_space(found, turned)


@pytest.mark.parametrize("ending", VOLUME_ENDINGS)
def test_other_tools_find_written_volumes_in_the_place_of_their_source_in_every_orientation(
    tmp_path: Path, orientations: Orientations, ending: str
) -> None:
    for turned, _ in orientations(Volume(counting_array((4, 5, 6), dtype="float32") / 7, AFFINES["oblique"])):
        write_volume(tmp_path / f"scan{ending}", turned)
        found = LOADERS[ending](tmp_path / f"scan{ending}")
        np.testing.assert_array_equal(found.array, turned.array)
        assert_same_in_space(found, turned)


@pytest.mark.parametrize("ending", VOLUME_ENDINGS)
def test_sheared_axes_are_written_as_they_are_or_refused(tmp_path: Path, ending: str) -> None:
    """MetaImage and MGH hold direction cosines, which have right angles."""
    affine = AFFINES["oblique"].copy()
    affine[:3, 2] += 0.3 * affine[:3, 1]
    sheared, path = Volume(counting_array((4, 5, 6)), affine), tmp_path / f"scan{ending}"
    if ending in (".mha", ".mgz"):
        with pytest.raises(UserError, match=r"cannot hold axes that are not at right angles.*scan\.nii\.gz"):
            write_volume(path, sheared)
        assert not [*tmp_path.iterdir()]
    else:
        write_volume(path, sheared)
        np.testing.assert_allclose(LOADERS[ending](path).affine, affine, rtol=0, atol=1e-5)


@pytest.mark.parametrize("ending", VOLUME_ENDINGS)
def test_labels_and_source_of_any_format_keep_type_and_place(tmp_path: Path, ending: str) -> None:
    source = tmp_path / "scan.nhdr"
    save_nrrd(source, Volume(counting_array(), AFFINES["oblique left-handed"]))
    labels = read_volume(source).with_array(counting_array(dtype="uint8"))
    write_volume(tmp_path / f"labels{ending}", labels)
    found = LOADERS[ending](tmp_path / f"labels{ending}")
    assert found.array.dtype == np.uint8
    assert_same_in_space(found, labels)


@pytest.mark.parametrize(
    ("space", "flip"), [("right-anterior-superior", RAS), ("left-anterior-superior", LAS), ("LPS", LPS), ("RAS", RAS)]
)
def test_the_space_that_a_nrrd_names_is_obeyed(tmp_path: Path, space: str, flip: Affine) -> None:
    volume = Volume(counting_array(), AFFINES["oblique"])
    save_nrrd(tmp_path / "scan.nrrd", volume, space=space, flip=flip)
    assert_same_in_space(read_volume(tmp_path / "scan.nrrd"), volume)


def test_a_nrrd_that_names_no_space_is_read_with_a_word(tmp_path: Path) -> None:
    nrrd.write(str(tmp_path / "scan.nrrd"), counting_array(), {"spacings": [1.0, 2.0, 3.0]})
    with pytest.warns(ScanWarning, match=r"scan\.nrrd does not name its space"):
        volume = read_volume(tmp_path / "scan.nrrd")
    np.testing.assert_allclose(volume.affine, np.diag([-1.0, -2.0, 3.0, 1.0]))


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.mha", "scan.mgz"])
@pytest.mark.parametrize("as_name", ["scan", "scan.nii.gz", "scan.dat"])
def test_a_file_is_read_by_its_content_packed_or_not(tmp_path: Path, name: str, as_name: str) -> None:
    volume = Volume(counting_array(), AFFINES["oblique"])
    SAVERS[name](tmp_path / name, volume)
    data = (tmp_path / name).read_bytes()
    for stored in (data, gzip.compress(data)):
        (tmp_path / as_name).write_bytes(stored)
        assert_same_in_space(read_volume(tmp_path / as_name), volume)


@pytest.mark.parametrize("name", ["mask.nrrd", "mask.mha", "mask.mgz", "mask.img"])
def test_a_mask_of_any_format_and_orientation_is_the_same_mask(
    tmp_path: Path, head: Volume, orientations: Orientations, name: str
) -> None:
    brain = np.asarray(head.array > 700)
    for turned, _ in list(orientations(Volume(brain.astype(np.uint8), head.affine)))[::7]:
        SAVERS[name.replace("mask", "scan")](tmp_path / name, turned)
        np.testing.assert_array_equal(read_mask(tmp_path / name, head), brain)


def test_nan_in_another_format_counts_as_air(tmp_path: Path, head: Volume) -> None:
    array = head.array.copy()
    array[0, 0, 0] = np.nan
    save_nrrd(tmp_path / "scan.nrrd", head.with_array(array))
    with pytest.warns(ScanWarning, match="1 NaN or infinite voxels"):
        assert read_volume(tmp_path / "scan.nrrd").array[0, 0, 0] == 0


# Refused files --------------------------------------------------------------------------------------------------------


def save_vectors(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(path))


def save_complex(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.complex64)), str(path))


def save_four_dimensions(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(counting_array((2, 4, 5, 6)), isVector=False), str(path))


def save_two_dimensions(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(counting_array((5, 6))), str(path))


def save_constant(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.uint8)), str(path))


def save_half(path: Path) -> None:
    detached = path.with_suffix({".nrrd": ".nhdr", ".mha": ".mhd"}[path.suffix])
    SAVERS[f"scan{detached.suffix}"](detached, Volume(counting_array(), np.eye(4)))
    path.write_bytes(detached.read_bytes())
    for each in path.parent.iterdir():
        if each not in (path, detached):
            each.unlink()


ODD_FILES = {
    "colors, vectors": save_vectors,
    "complex numbers": save_complex,
    "4 dimensions": save_four_dimensions,
    "2 dimensions": save_two_dimensions,
    "the same value": save_constant,
    "lacks the file of its voxels": save_half,
}


def refusal_of(path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(UserError) as refusal:
        read_volume(path)
    message = str(refusal.value)
    assert str(path) in message and message.endswith(".") and "\n" not in message and ". " not in message
    assert capfd.readouterr().err == "", "nothing but the sentence is said"
    return message


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("reason", ODD_FILES)
def test_files_that_are_no_scans_are_refused_in_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], ending: str, reason: str
) -> None:
    path = tmp_path / f"odd{ending}"
    ODD_FILES[reason](path)
    assert reason in refusal_of(path, capfd)


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.mha", "scan.mgz"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_truncated_or_damaged_file_is_refused_in_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, share: float
) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 999, (20, 21, 22)).astype(np.int16)
    SAVERS[name](path, Volume(noise, affine_of((1.0, 1.0, 1.0))))
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: int(share * len(data))])
    refusal_of(path, capfd)
    if share == 0.5:  # a bit of the compressed voxels flipped
        data[int(share * len(data))] ^= 4
        path.write_bytes(data)
        refusal_of(path, capfd)


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.mha", "scan.mgh"])
def test_no_damage_to_a_header_raises_anything_else(tmp_path: Path, name: str) -> None:
    generator = np.random.default_rng(0)
    SAVERS[name](tmp_path / name, Volume(counting_array((4, 5, 6)), AFFINES["oblique"]))
    data: bytes = (tmp_path / name).read_bytes()
    refused = 0
    for _ in range(100):
        damaged = bytearray(data)
        for offset in generator.integers(0, min(300, len(data)), 3):
            damaged[offset] = generator.integers(256)
        (tmp_path / name).write_bytes(damaged)
        try:
            volume = read_volume(tmp_path / name)
        except UserError:
            refused += 1
        else:
            array: NDArray[Any] = volume.array
            assert array.ndim == 3 and np.isfinite(volume.affine).all()
    assert refused > 5
