"""Public names of the library."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import LMIDiffusionLib as lmi
from LMIDiffusionLib.errors import ScanWarning

SOURCE = ast.parse(Path(lmi.__file__).read_text())


def test_importing_the_package_loads_the_standard_library_alone() -> None:
    code = """
import sys
before = set(sys.modules)
import LMIDiffusionLib
loaded = set(sys.modules) - before
print(*(name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["LMIDiffusionLib"]


@pytest.mark.parametrize("name", lmi.__all__)
def test_every_public_name_exists_and_has_a_docstring(name: str) -> None:
    value = getattr(lmi, name)
    assert name in dir(lmi)
    if inspect.isclass(value) or inspect.isfunction(value):
        own = value.__doc__
        assert own and not own.startswith(f"{name}("), "the text that dataclasses make up says nothing"


def test_type_checkers_see_the_public_names() -> None:
    (block,) = (each for each in SOURCE.body if isinstance(each, ast.If))
    imports = [each for each in block.body if isinstance(each, ast.ImportFrom)]
    seen = {alias.asname: each.module for each in imports for alias in each.names}
    assert seen == lmi._HOMES
    assert (Path(lmi.__file__).parent / "py.typed").is_file()


def test_unknown_public_names_raise_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute translator"):
        lmi.translator  # noqa: B018


SCAN = Path(__file__).parents[2] / "LMIDiffusion/Resources/SampleData/sri24_PDw.nii.gz"
ONE_SLICE = lmi.TranslationOptions.from_preset("fast", slices=(40, 41))


@pytest.fixture(scope="module")
def translator() -> lmi.LMIDiffusion:
    return lmi.LMIDiffusion("t1w-ixi-2mm", device="cpu")


@pytest.fixture(scope="module")
def volume() -> lmi.Volume:
    return lmi.read_volume(SCAN)


@pytest.fixture(scope="module")
def expected(translator: lmi.LMIDiffusion, volume: lmi.Volume) -> NDArray[np.number]:
    return lmi.translate(volume, translator, ONE_SLICE).volume.array


def test_two_lines_translate_a_file(tmp_path: Path) -> None:
    """The example in the package's docstring runs, here on one slice of the sample scan."""
    result = lmi.translate(str(SCAN), options=ONE_SLICE, device="cpu")
    lmi.write_volume(str(tmp_path / "t1w.nii.gz"), result.volume)
    written = lmi.read_volume(tmp_path / "t1w.nii.gz")
    assert written.array.shape == result.volume.array.shape
    assert written.array[..., 40].max() > 0.3


def test_a_checkpoint_may_be_given_by_name(volume: lmi.Volume, expected: NDArray[np.number]) -> None:
    result = lmi.translate(volume, "t1w-ixi-2mm", ONE_SLICE, device="cpu")
    assert np.abs(result.volume.array - expected).max() < 0.02, "more than bfloat16 rounds"


SAME: dict[str, Callable[[lmi.Volume], Any]] = {
    "path": lambda volume: SCAN,
    "text": lambda volume: str(SCAN),
    "image of nibabel": lambda volume: nib.load(SCAN),
    "image without a file": lambda volume: nib.Nifti1Image(volume.array, volume.affine),
    "list": lambda volume: lmi.Volume(volume.array.tolist(), volume.affine.tolist()),
    "array of objects": lambda volume: lmi.Volume(volume.array.astype(object), volume.affine),
    "long doubles": lambda volume: lmi.Volume(volume.array.astype(np.longdouble), volume.affine),
    "tensor": lambda volume: lmi.Volume(torch.from_numpy(volume.array.astype(np.float32)), volume.affine),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", SAME)
def test_a_scan_is_the_same_in_every_form(
    volume: lmi.Volume, translator: lmi.LMIDiffusion, expected: NDArray[np.number], name: str
) -> None:
    result = lmi.translate(SAME[name](volume), translator, ONE_SLICE).volume
    np.testing.assert_array_equal(result.array, expected)
    np.testing.assert_allclose(result.affine, volume.affine)


REFUSED: dict[str, tuple[Callable[[lmi.Volume], Any], str]] = {
    "2-D": (lambda volume: lmi.Volume(volume.array[..., 40], volume.affine), "2 dimensions"),
    "4-D": (lambda volume: lmi.Volume(volume.array[..., None], volume.affine), "4 dimensions"),
    "complex": (lambda volume: volume.with_array(volume.array.astype(complex)), "complex numbers"),
    "texts": (lambda volume: volume.with_array(np.full((20, 20, 20), "a")), "real numbers"),
    "zeros": (lambda volume: volume.with_array(volume.array * 0), "same value in every voxel"),
    "NaN alone": (lambda volume: volume.with_array(volume.array * np.nan), "nothing but NaN"),
    "affine of 3 x 3": (lambda volume: lmi.Volume(volume.array, volume.affine[:3, :3]), r"shape \(4, 4\)"),
    "affine of zeros": (lambda volume: lmi.Volume(volume.array, volume.affine * 0), "singular"),
    "no affine": (lambda volume: lmi.Volume(volume.array, None), r"shape \(4, 4\)"),  # type: ignore[arg-type]
    "bare array": (lambda volume: volume.array, "ndarray has no place in space; make a volume of it: lmi.Volume"),
    "missing file": (lambda volume: "no/such/file.nii", r"^no/such/file\.nii does not exist"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_inputs_that_are_no_scan_are_refused_in_a_sentence(
    volume: lmi.Volume, translator: lmi.LMIDiffusion, name: str
) -> None:
    make, sentence = REFUSED[name]
    with pytest.raises(lmi.UserError, match=sentence) as refusal:
        lmi.translate(make(volume), translator, ONE_SLICE)
    assert isinstance(refusal.value, ValueError)
    assert str(refusal.value).endswith(".")


def test_gaps_in_an_array_count_as_air_and_become_a_notice_and_one_warning(
    volume: lmi.Volume, translator: lmi.LMIDiffusion
) -> None:
    array = volume.array.astype(np.float32)
    array[0, 0, 0] = np.nan
    with pytest.warns(ScanWarning, match="count as air") as warned:
        result = lmi.translate(volume.with_array(array), translator, ONE_SLICE)
    assert [str(each.message) for each in warned] == [each.message for each in result.notices]
    assert result.notices[0].message == "The volume has 1 NaN or infinite voxels, which count as air."


def test_a_volume_becomes_an_image_of_nibabel_and_one_becomes_a_volume_again(volume: lmi.Volume) -> None:
    image = volume.to_nibabel()
    np.testing.assert_array_equal(image.affine, volume.affine)
    stored: Any = nib.load(SCAN)
    assert image.header["sform_code"] == stored.header["sform_code"]
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume.array)
    inside: Any = volume.array > 0
    mask = lmi.Volume(inside, volume.affine).to_nibabel()
    assert mask.get_data_dtype() == np.uint8


def test_masks_may_be_images_too_and_tissues_are_measured(volume: lmi.Volume, translator: lmi.LMIDiffusion) -> None:
    tissue: Any = nib.load(SCAN.with_name("sri24_tissue.nii.gz"))
    settings = lmi.ScanSettings(translator.checkpoint, ONE_SLICE, lmi.SegmentationSettings(mask=tissue))
    result = lmi.translate_scan(volume, translator, settings)
    assert result.segmentation is not None
    inside = result.segmentation.labels > 0
    np.testing.assert_array_equal(inside, np.asarray(tissue.dataobj) > 0)
    voxel = abs(np.linalg.det(volume.affine)) / 1000
    assert sum(each.milliliters for each in result.volumes) == pytest.approx(inside.sum() * voxel, abs=0.01)
