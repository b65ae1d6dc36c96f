"""Preparation of raw scans: what is found, how well it is aligned, what is written, and going on after a stop."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from LMIDiffusionLib.benchmark.pairs import read_pairs
from LMIDiffusionLib.demo import sample_scan
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.intensity import head_mask
from LMIDiffusionLib.training.prepare import PreparationOptions, prepare
from LMIDiffusionLib.training.prepare.preparation import _tissues
from LMIDiffusionLib.training.prepare.registration import register
from LMIDiffusionLib.training.prepare.scans import Scan, find_scans
from LMIDiffusionLib.training.slices import find_subjects
from LMIDiffusionLib.volume import Volume, read_volume, write_volume


def read(name: str) -> sitk.Image:
    return sitk.ReadImage(str(sample_scan(name)), sitk.sitkFloat32)


def moved(image: sitk.Image, angles: tuple[float, float, float], shift: tuple[float, float, float]) -> sitk.Image:
    """The image as a scanner would have it after the head has moved: other pixels, the same header."""
    centre = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    motion = sitk.Euler3DTransform(centre, *np.radians(angles), shift)
    return sitk.Resample(image, image, motion, sitk.sitkLinear, 0.0)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four subjects: three with T1w and PDw, one of them moved between the scans, and one without PDw."""
    folder = tmp_path_factory.mktemp("raw")
    for name in ("anna", "bert", "carl"):
        sitk.WriteImage(read("sri24_T1w"), str(folder / f"{name}_T1w.nii.gz"))
        source = read("sri24_PDw")
        source = moved(source, (3, -2, 4), (4, -3, 2)) if name == "bert" else source
        sitk.WriteImage(source, str(folder / f"{name}_PDw.nii.gz"))
    sitk.WriteImage(read("sri24_T1w"), str(folder / "dora_T1w.nii.gz"))
    return folder


def options(data: Path, output: Path, **changes: Any) -> PreparationOptions:
    chosen: dict[str, Any] = {
        "target": "T1w",
        "sources": ["PDw"],
        "labels": None,
        "spacing": None,
        "correct_bias": False,
        "held_out": 2,
        "paper_split": False,
        "seed": 3,
        **changes,
    }
    return PreparationOptions(data=data, output=output, **chosen)


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out") / "prepared"
    left_out = prepare(options(raw, output))
    assert left_out == ["dora has no PDw"]
    return output


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def test_a_known_motion_is_undone_to_less_than_half_a_voxel() -> None:
    target, source = read("sri24_T1w"), read("sri24_PDw")
    registration = register(moved(source, (5, -4, 6), (6, -5, 4)), target)
    wanted, found = (sitk.GetArrayFromImage(image) for image in (source, registration.source))
    inside = head_mask(wanted)
    # A shift of half a voxel already changes the head by more than this.
    shifted = np.abs(np.roll(wanted, 1, 0) - wanted)[inside].mean() / 2
    assert np.abs(found - wanted)[inside].mean() < shifted
    assert registration.overlap > 0.95


def test_registration_gives_the_same_result_every_time() -> None:
    target, source = read("sri24_T1w"), moved(read("sri24_PDw"), (3, 0, 0), (0, 4, 0))
    first, second = (sitk.GetArrayFromImage(register(source, target).source) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_field_of_view_is_where_the_source_was_scanned() -> None:
    target = read("sri24_T1w")
    registration = register(read("sri24_PDw")[:, :, 20:], target)
    seen = sitk.GetArrayFromImage(registration.field_of_view)
    heights = np.flatnonzero(seen.mean((1, 2)) > 0.5)
    assert heights[0] in (19, 20, 21)
    assert registration.overlap > 0.9


def test_training_holds_the_target_alone_and_the_test_part_aligned_pairs(prepared: Path) -> None:
    manifest = manifest_of(prepared)
    parts = {name: record["split"] for name, record in manifest["subjects"].items()}
    assert sorted(parts) == ["anna", "bert", "carl"]
    assert sorted(parts.values()) == ["test", "test", "train"]
    training = next(name for name, part in parts.items() if part == "train")
    assert [path.name for path in (prepared / "train").iterdir()] == [f"{training}_T1w.nii.gz"]
    assert [each.name for each in find_subjects(prepared / "train", modality="T1w", brain_suffix="mask")] == [training]
    pairs = read_pairs(prepared / "test" / "PDw.csv").pairs
    assert len(pairs) == 2
    for pair in pairs:
        source, target = read_volume(pair.source), read_volume(pair.target)
        assert source.array.shape == target.array.shape
        np.testing.assert_allclose(source.affine, target.affine, atol=1e-4)


def test_the_manifest_has_the_hash_of_every_file(prepared: Path) -> None:
    hashes = {
        path: digest
        for record in manifest_of(prepared)["subjects"].values()
        for path, digest in record["files"].items()
    }
    written = {path.relative_to(prepared).as_posix(): path for path in prepared.rglob("*.nii.gz")}
    assert hashes == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in written.items()}


def write_labels(path: Path, *, rois: tuple[int, int, int]) -> None:
    """ROIs of the dark, the middle and the bright voxels of the sample scan's head."""
    target = read("sri24_T1w")
    image = sitk.GetArrayFromImage(target)
    bounds = np.quantile(image[head_mask(image)], [1 / 3, 2 / 3])
    labels = sitk.GetImageFromArray(np.where(head_mask(image), np.take(rois, np.digitize(image, bounds)), 0))
    labels.CopyInformation(target)
    sitk.WriteImage(sitk.Cast(labels, sitk.sitkUInt8), str(path))


def test_anatomical_labels_become_tissues_beside_the_pair_or_are_told_not_to_fit(raw: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(raw, data)
    write_labels(data / "anna_dlmuse.nii.gz", rois=(51, 31, 81))
    write_labels(data / "bert_dlmuse.nii.gz", rois=(81, 31, 51))
    write_labels(data / "carl_dlmuse.nii.gz", rois=(4, 102, 95))
    left_out = prepare(options(data, tmp_path / "out", labels="dlmuse", held_out=2, seed=1))
    pairs = read_pairs(tmp_path / "out" / "test" / "PDw.csv").pairs
    parts = {name: record["split"] for name, record in manifest_of(tmp_path / "out")["subjects"].items()}
    assert "bert" not in parts, "the split has bert in its training part, so that this test shows nothing"
    assert any(line.startswith("bert") and "do not fit" in line for line in left_out)
    (pair,) = pairs
    assert pair.brain is not None
    tissues, target = read_volume(pair.brain), read_volume(pair.target)
    assert tissues.array.shape == target.array.shape
    assert set(np.unique(tissues.array)) == {0, 1, 2, 3}
    means = [float(target.array[tissues.array == tissue].mean()) for tissue in (1, 2, 3)]
    assert sorted(means) == means
    name = pair.brain.name.split("_")[0]
    np.testing.assert_allclose(manifest_of(tmp_path / "out")["subjects"][name]["tissue_means"], means, rtol=1e-3)


def test_labels_stored_with_a_scale_factor_give_the_same_tissues(tmp_path: Path) -> None:
    target = read("sri24_T1w")
    labels = read_volume(sample_scan("sri24_tissue"))
    rois = np.array([0, 51, 207, 95])[labels.array]  # in each tissue the largest label that it has, so that 207 scales
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(rois.astype(float), labels.affine, header), tmp_path / "labels.nii.gz")
    tissues, _ = _tissues(Scan(tmp_path / "labels.nii.gz"), target)
    write_volume(tmp_path / "whole.nii.gz", labels.with_array(rois.astype(np.int16)))
    expected, _ = _tissues(Scan(tmp_path / "whole.nii.gz"), target)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(tissues), sitk.GetArrayFromImage(expected))
    cut = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "labels.nii.gz"), sitk.sitkUInt16))
    assert not np.isin(cut, [0, 51, 207, 95]).all(), "the file shows nothing"


def test_the_split_depends_on_the_seed_alone(raw: Path, prepared: Path, tmp_path: Path) -> None:
    prepare(options(raw, tmp_path / "again"))
    assert manifest_of(tmp_path / "again")["subjects"] == manifest_of(prepared)["subjects"]


def test_an_interrupted_preparation_goes_on_with_what_is_missing(raw: Path, prepared: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(prepared, half)
    manifest = manifest_of(half)
    kept = next(iter(manifest["subjects"]))
    lost = [name for name in manifest["subjects"] if name != kept]
    for name in lost:
        del manifest["subjects"][name]
        for path in half.rglob(f"{name}_*"):
            path.unlink()
    (half / "manifest.json").write_text(json.dumps(manifest))
    before = {path: path.stat().st_mtime_ns for path in half.rglob(f"{kept}_*")}
    prepare(options(raw, half))
    assert manifest_of(half)["subjects"] == manifest_of(prepared)["subjects"]
    assert {path: path.stat().st_mtime_ns for path in half.rglob(f"{kept}_*")} == before
    assert {path.name for path in half.rglob("*.nii.gz")} == {path.name for path in prepared.rglob("*.nii.gz")}


def test_other_options_on_the_same_folder_are_refused(raw: Path, prepared: Path) -> None:
    with pytest.raises(UserError, match="other options"):
        prepare(options(raw, prepared, seed=4))


def test_a_folder_with_other_files_is_refused(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="other files"):
        prepare(options(raw, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_scans_that_cannot_be_aligned_or_read_are_left_out_by_name(raw: Path, tmp_path: Path) -> None:
    broken = tmp_path / "raw"
    shutil.copytree(raw, broken)
    scan = read_volume(broken / "anna_PDw.nii.gz")
    elsewhere = scan.affine.copy()
    elsewhere[:3, 3] += 120  # the heads no longer meet
    write_volume(broken / "anna_PDw.nii.gz", Volume(scan.array, elsewhere))
    (broken / "bert_PDw.nii.gz").write_bytes(b"not a scan")
    left_out = prepare(options(broken, tmp_path / "out", held_out=1))
    assert [line.split(":")[0] for line in left_out[1:]] == ["bert could not be used", "dora has no PDw"]
    assert left_out[0].startswith("anna could not be registered (overlap of the heads: PDw")
    assert list(manifest_of(tmp_path / "out")["subjects"]) == ["carl"]
    assert not list((tmp_path / "out").rglob("anna_*"))


def test_a_chosen_spacing_keeps_the_field_of_view(raw: Path, tmp_path: Path) -> None:
    prepare(options(raw, tmp_path / "out", spacing=3.0, held_out=1))
    volume = read_volume(next((tmp_path / "out" / "train").iterdir()))
    original = read_volume(sample_scan("sri24_T1w"))
    np.testing.assert_allclose(np.linalg.norm(volume.affine[:3, :3], axis=0), 3)
    corners = [
        each.affine @ [*(0.5 * (np.array(each.array.shape) - 1)), 1] for each in (volume, original)
    ]  # the middle of both
    np.testing.assert_allclose(corners[0], corners[1], atol=1.6)
    extents = [np.array(each.array.shape) * np.linalg.norm(each.affine[:3, :3], axis=0) for each in (volume, original)]
    np.testing.assert_allclose(extents[0], extents[1], atol=1.6)


def ixi_archives(folder: Path, subjects: int, *, without: str = "") -> Path:
    """Archives named and laid out as IXI's; the scans are crops of the bundled one."""
    folder.mkdir()
    for modality, sample in (("T1", "sri24_T1w"), ("PD", "sri24_PDw")):
        scan = folder / "scan.nii.gz"
        sitk.WriteImage(sitk.Shrink(read(sample), [6, 6, 4]), str(scan))
        with tarfile.open(folder / f"IXI-{modality}.tar", "w") as archive:
            for number in range(1, subjects + 1):
                name = f"IXI{number:03d}-HH-{1000 + number}-{modality}.nii.gz"
                if name != without:
                    archive.add(scan, name)
        scan.unlink()
    return folder


def test_ixi_archives_and_folders_are_found_and_missing_modalities_told(tmp_path: Path) -> None:
    archives = ixi_archives(tmp_path / "archives", 4, without="IXI002-HH-1002-PD.nii.gz")
    left_out = prepare(options(archives, tmp_path / "out", held_out=1))
    assert left_out == ["IXI002 has no PDw"]
    assert sorted(manifest_of(tmp_path / "out")["subjects"]) == ["IXI001", "IXI003", "IXI004"]
    for modality in ("T1", "PD"):
        with tarfile.open(archives / f"IXI-{modality}.tar") as archive:
            archive.extractall(tmp_path / "folder" / f"IXI-{modality}", filter="data")
    found = find_scans(tmp_path / "folder", ["T1w", "PDw"])
    assert sorted(found) == ["IXI001", "IXI002", "IXI003", "IXI004"]
    assert sorted(found["IXI002"]) == ["T1w"]


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "IXI-T1.tar").write_bytes(b"\0" * 100 + b"x" * 2000)
    with pytest.raises(UserError, match="is damaged"):
        find_scans(tmp_path, ["T1w"])


def test_the_papers_split_has_125_subjects_of_three_slices(tmp_path: Path) -> None:
    archives = ixi_archives(tmp_path / "archives", 126)
    prepare(options(archives, tmp_path / "out", paper_split=True))
    records = manifest_of(tmp_path / "out")["subjects"].values()
    assert sorted(record["split"] for record in records) == ["test"] * 25 + ["train"] * 100
    paths = list((tmp_path / "out").rglob("*.nii.gz"))
    assert len(paths) == 100 + 2 * 25
    assert all(read_volume(path).array.shape[2] == 3 for path in paths[::10])


def test_too_few_subjects_are_told(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Only 3 subjects have all of T1w, PDw; 125 or more"):
        prepare(options(raw, tmp_path / "out", paper_split=True))
    assert not (tmp_path / "out").exists()


def test_a_folder_without_scans_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds neither IXI scans nor files"):
        find_scans(tmp_path, ["T1w"])
    with pytest.raises(UserError, match="is no folder"):
        find_scans(tmp_path / "none", ["T1w"])
