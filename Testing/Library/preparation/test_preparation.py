"""Preparation of raw scans: search, registration, written files, and resumption."""

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
from moving import far_away, flipped, moved, orientation_of, read, small, symmetric, turned
from PIL import Image

from LMIDiffusionLib.benchmark.pairs import read_pairs
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.normalization import head_mask
from LMIDiffusionLib.images.volume import read_volume, write_volume
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.preparation import PreparationOptions, preparation, prepare
from LMIDiffusionLib.preparation.alignment import Alignment, tissues_on
from LMIDiffusionLib.preparation.alignment_picture import draw_alignment
from LMIDiffusionLib.preparation.pairs import align_pairs
from LMIDiffusionLib.preparation.registration import Registration
from LMIDiffusionLib.preparation.scans import RawScan, find_scans
from LMIDiffusionLib.training.data.pairs import read_pair_files
from LMIDiffusionLib.training.data.subjects import find_subjects


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four subjects: three with T1w and PDw, one of them moved between the scans, and one without PDw."""
    folder = tmp_path_factory.mktemp("raw")
    for name in ("anna", "bert", "carl"):
        sitk.WriteImage(small("sri24_T1w"), str(folder / f"{name}_T1w.nii.gz"))
        source = small("sri24_PDw")
        source = moved(source, (3, -2, 4), (4, -3, 2)) if name == "bert" else source
        sitk.WriteImage(source, str(folder / f"{name}_PDw.nii.gz"))
    sitk.WriteImage(small("sri24_T1w"), str(folder / "dora_T1w.nii.gz"))
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


def test_the_picture_of_an_alignment_shows_edges_of_the_source_over_the_target(tmp_path: Path) -> None:
    target, source = small("sri24_T1w"), small("sri24_PDw")
    pictures = []
    for shown in (source, flipped(source, (1,))):
        registration = Registration(shown, source > 0, 1.0, 2.0, 2.0)
        draw_alignment(tmp_path / "picture.png", Alignment(target, {"PDw": registration}))
        pictures.append(np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")).astype(int))
    colored = [picture[..., 0] - picture[..., 2] > 60 for picture in pictures]
    assert all(0.02 < each.mean() < 0.3 for each in colored)
    assert (colored[0] != colored[1]).mean() > 0.02, "the edges are those of the source"
    gray_only = ~colored[0] & ~colored[1]
    assert np.abs(pictures[0] - pictures[1])[gray_only].mean() < 8, "the rest is the target"
    draw_alignment(tmp_path / "picture.webp", Alignment(target, {"PDw": registration}))
    assert (tmp_path / "picture.webp").stat().st_size < 60_000


def test_pairs_for_a_refinement_are_aligned_and_listed(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    target, source = read("sri24_T1w"), read("sri24_PDw")
    for name, image in (
        ("bert_T1w", target),
        ("bert_PDw", moved(source, (3, -2, 4), (4, -3, 2))),
        ("dora_T1w", target),
    ):
        sitk.WriteImage(image, str(tmp_path / "scans" / f"{name}.nii.gz"))
    path = align_pairs(tmp_path / "scans", tmp_path, target="T1w", source="PDw")
    (pair,) = read_pair_files(path)
    assert pair.subject == "bert", "dora has no PDw"
    wanted = sitk.GetArrayFromImage(source)
    found = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(pair.source)), orientation_of(source)))
    inside = head_mask(wanted)
    assert np.corrcoef(found[inside], wanted[inside])[0, 1] > 0.97
    with pytest.raises(UserError, match="nobody with both FLAIR and T1w"):
        align_pairs(tmp_path / "scans", tmp_path, target="T1w", source="FLAIR")


def test_the_training_part_holds_targets_and_the_test_part_aligned_pairs(prepared: Path) -> None:
    manifest = manifest_of(prepared)
    parts = {name: record["split"] for name, record in manifest["subjects"].items()}
    assert sorted(parts) == ["anna", "bert", "carl"]
    assert sorted(parts.values()) == ["test", "test", "train"]
    training = next(name for name, part in parts.items() if part == "train")
    assert [path.name for path in (prepared / "train").iterdir()] == [f"{training}_T1w.nii.gz"]
    assert [each.name for each in find_subjects(prepared / "train", modality="T1w", brain_suffixes=("mask",))] == [
        training
    ]
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
    target = small("sri24_T1w")
    image = sitk.GetArrayFromImage(target)
    bounds = np.quantile(image[head_mask(image)], [1 / 3, 2 / 3])
    labels = sitk.GetImageFromArray(np.where(head_mask(image), np.take(rois, np.digitize(image, bounds)), 0))
    labels.CopyInformation(target)
    sitk.WriteImage(sitk.Cast(labels, sitk.sitkUInt8), str(path))


def test_labels_become_tissues_beside_the_pair_or_are_reported_not_to_fit(raw: Path, tmp_path: Path) -> None:
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
    tissues, _ = tissues_on(target, RawScan(tmp_path / "labels.nii.gz"))
    write_volume(tmp_path / "whole.nii.gz", labels.with_array(rois.astype(np.int16)))
    expected, _ = tissues_on(target, RawScan(tmp_path / "whole.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(tissues), sitk.GetArrayFromImage(expected))
    cut = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "labels.nii.gz"), sitk.sitkUInt16))
    assert not np.isin(cut, [0, 51, 207, 95]).all(), "the file shows nothing"


def test_the_split_depends_on_the_seed_alone(raw: Path, prepared: Path, tmp_path: Path) -> None:
    prepare(options(raw, tmp_path / "again"))
    assert manifest_of(tmp_path / "again")["subjects"] == manifest_of(prepared)["subjects"]


def test_an_interrupted_preparation_resumes(raw: Path, prepared: Path, tmp_path: Path) -> None:
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


def noise_like(image: sitk.Image) -> sitk.Image:
    noise = sitk.GetImageFromArray(np.random.default_rng(1).random(image.GetSize()[::-1], np.float32) * 1000)
    noise.CopyInformation(image)
    return noise


def write_without_codes(image: sitk.Image, path: Path) -> None:
    """A file that does not tell where its voxels lie."""
    sitk.WriteImage(image, str(path))
    scan: Any = nib.load(path)
    scan.set_sform(None, 0)
    scan.set_qform(None, 0)
    nib.save(scan, path)


@pytest.mark.filterwarnings("ignore:.*has a qform_code and a sform_code of 0:LMIDiffusionLib.errors.ScanWarning")
def test_unusable_subjects_are_reported_and_the_others_are_prepared(tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    target, source = small("sri24_T1w"), small("sri24_PDw")
    sources = {
        "a_good": source,
        "b_far": far_away(source),
        "c_turned": turned(source),
        "e_slice": source[:, :, 15:16],
        "f_noise": noise_like(source),
        "g_symmetric": symmetric(source),
        "h_thin": source,
        "j_mirrored": flipped(source, (0,)),
    }
    for name, image in sources.items():
        sitk.WriteImage(image, str(data / f"{name}_PDw.nii.gz"))
        sitk.WriteImage(target[:, :, 15:17] if name == "h_thin" else target, str(data / f"{name}_T1w.nii.gz"))
    for name in ("d_nowhere", "i_text"):
        sitk.WriteImage(target, str(data / f"{name}_T1w.nii.gz"))
    write_without_codes(source, data / "d_nowhere_PDw.nii.gz")
    (data / "i_text_PDw.nii.gz").write_bytes(b"not a scan")
    left_out = prepare(options(data, output, spacing=5.0, held_out=9))
    assert sorted(manifest_of(output)["subjects"]) == ["a_good", "b_far", "c_turned", "d_nowhere"]
    expected = {
        "e_slice could not be used: PDw cannot be registered to T1w: one of them is less than 4 voxels thick",
        "f_noise could not be registered (overlap of the heads: PDw 0.",
        "g_symmetric could not be registered (PDw has hardly more mutual information than after a half turn: 1.0",
        "h_thin could not be registered: The number of pixels along dimension 2 is less than 4",
        "i_text could not be used: ",
        "j_mirrored could not be registered (PDw fits better as its mirror image: 1.",
    }
    assert len(left_out) == len(expected)
    assert all(any(line.startswith(start) for start in expected) for line in left_out), left_out
    written = {path.name.rsplit("_", 1)[0] for path in output.rglob("*.nii.gz")}
    assert written == {"a_good", "b_far", "c_turned", "d_nowhere"}
    drawn = {path.stem for path in (output / "pictures").iterdir()}
    assert drawn == {*written, "f_noise", "g_symmetric", "j_mirrored"}, "of every registration, failed ones too"
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.nii.gz")}
    assert prepare(options(data, output, spacing=5.0, held_out=9)) == left_out
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.nii.gz")} == before


def test_a_chosen_spacing_keeps_the_field_of_view(raw: Path, tmp_path: Path) -> None:
    prepare(options(raw, tmp_path / "out", spacing=3.0, held_out=1))
    volume = read_volume(next((tmp_path / "out" / "train").iterdir()))
    original = read_volume(raw / "anna_T1w.nii.gz")
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


def test_ixi_archives_and_folders_are_found_and_missing_modalities_reported(tmp_path: Path) -> None:
    archives = ixi_archives(tmp_path / "archives", 4, without="IXI002-HH-1002-PD.nii.gz")
    left_out = prepare(options(archives, tmp_path / "out", held_out=1))
    assert left_out == ["IXI002 has no PDw"]
    assert sorted(manifest_of(tmp_path / "out")["subjects"]) == ["IXI001", "IXI003", "IXI004"]
    for modality in ("T1", "PD"):
        folder = tmp_path / "folder" / f"IXI-{modality}"
        folder.mkdir(parents=True)
        with tarfile.open(archives / f"IXI-{modality}.tar") as archive:
            for member in archive:  # the Python 3.11 of Debian 12 has no filter for `extractall`
                file = archive.extractfile(member)
                assert file is not None
                (folder / member.name).write_bytes(file.read())
    found = find_scans(tmp_path / "folder", ["T1w", "PDw"])
    assert sorted(found) == ["IXI001", "IXI002", "IXI003", "IXI004"]
    assert sorted(found["IXI002"]) == ["T1w"]


def test_all_kinds_of_file_names_are_found_together(raw: Path, tmp_path: Path) -> None:
    scan = raw / "anna_T1w.nii.gz"
    for name in ("IXI012-HH-1211-T1", "anna_T1w", "sub-01/T1w", "sub-02/T1w"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(scan, tmp_path / f"{name}.nii.gz")
    found = find_scans(tmp_path, ["T1w"])
    assert {name: scans["T1w"].path.relative_to(tmp_path).as_posix() for name, scans in found.items()} == {
        "IXI012": "IXI012-HH-1211-T1.nii.gz",
        "anna": "anna_T1w.nii.gz",
        "sub-01": "sub-01/T1w.nii.gz",
        "sub-02": "sub-02/T1w.nii.gz",
    }


def test_a_damaged_archive_is_reported(tmp_path: Path) -> None:
    (tmp_path / "IXI-T1.tar").write_bytes(b"\0" * 100 + b"x" * 2000)
    with pytest.raises(UserError, match="is damaged"):
        find_scans(tmp_path, ["T1w"])


def test_the_papers_split_has_100_subjects_for_training_and_25_for_the_test(tmp_path: Path) -> None:
    subjects = {f"IXI{number:03d}": {"T1w": RawScan(tmp_path)} for number in range(126)}
    parts = preparation._split(subjects, options(tmp_path, tmp_path / "out", paper_split=True))
    assert len(dict(parts)) == 125
    assert sorted(part for _, part in parts) == ["test"] * 25 + ["train"] * 100


def test_the_papers_split_keeps_three_slices_of_each_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "_PAPER_TRAINING", 4)
    monkeypatch.setattr(preparation, "_PAPER_TEST", 2)
    archives = ixi_archives(tmp_path / "archives", 7)
    prepare(options(archives, tmp_path / "out", paper_split=True))
    records = manifest_of(tmp_path / "out")["subjects"].values()
    assert sorted(record["split"] for record in records) == ["test"] * 2 + ["train"] * 4
    paths = list((tmp_path / "out").rglob("*.nii.gz"))
    assert len(paths) == 4 + 2 * 2
    assert all(read_volume(path).array.shape[2] == 3 for path in paths)


def test_too_few_subjects_are_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Only 3 subjects have all of T1w, PDw; 125 or more"):
        prepare(options(raw, tmp_path / "out", paper_split=True))
    assert not (tmp_path / "out").exists()


def test_a_folder_without_scans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds neither IXI scans nor files"):
        find_scans(tmp_path, ["T1w"])
    with pytest.raises(UserError, match="does not exist; give a folder"):
        find_scans(tmp_path / "none", ["T1w"])
