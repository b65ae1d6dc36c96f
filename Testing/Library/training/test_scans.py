from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.training.anatomy import CLASSES
from LMIDiffusionLib.training.data.scans import TrainingScan, read_label_maps, read_scans
from LMIDiffusionLib.training.data.subjects import Subject
from LMIDiffusionLib.training.options import DataOptions

_OPTIONS = DataOptions(correct_bias=False, tissue_levels=None)


def _head(spacing: float) -> nib.Nifti1Image:
    """An ellipsoid with a bright ball to the right, in front and above of its middle."""
    shape = tuple(round(extent / spacing) for extent in (150, 180, 160))
    axes = [(np.arange(count) + 0.5) * spacing - count * spacing / 2 for count in shape]
    right, front, up = np.meshgrid(*axes, indexing="ij")
    head = (right / 70) ** 2 + (front / 85) ** 2 + (up / 75) ** 2 < 1
    ball = (right - 30) ** 2 + (front - 40) ** 2 + (up - 20) ** 2 < 15**2
    values = np.where(head, 400, 0) + np.where(ball, 500, 0)
    return nib.Nifti1Image(values.astype(np.int16), np.diag([spacing, spacing, spacing, 1]))


def _saved(image: nib.Nifti1Image, path: Path, *, codes: str = "RAS") -> Path:
    transform = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    nib.save(image.as_reoriented(transform), path)
    return path


def _read(path: Path, cache: Path, options: DataOptions = _OPTIONS) -> TrainingScan:
    scans = read_scans([Subject("one", path)], options, cache=cache, notes={})
    return scans[0]


@pytest.mark.parametrize("codes", ["LPS", "PIR", "SAL"])
def test_scans_of_every_orientation_are_read_alike(tmp_path: Path, codes: str) -> None:
    head = _head(2.0)
    straight = _read(_saved(head, tmp_path / "straight.nii.gz"), tmp_path / "cache")
    turned = _read(_saved(head, tmp_path / "turned.nii.gz", codes=codes), tmp_path / "cache")
    assert straight.images is not None and turned.images is not None
    assert np.array_equal(straight.images, turned.images)
    bright = np.argwhere(straight.images > 200).mean(0) - np.array(straight.images.shape) / 2
    assert (bright > 3).all()


@pytest.mark.parametrize(("spacing", "stored"), [(1.0, 1.0), (1.2, 1.0), (1.5, 2.0), (2.0, 2.0), (3.0, 2.0)])
def test_scans_are_kept_on_fine_or_on_coarse_voxels(tmp_path: Path, spacing: float, stored: float) -> None:
    scan = _read(_saved(_head(spacing), tmp_path / "head.nii.gz"), tmp_path / "cache")
    assert scan.spacing == stored
    assert scan.images is not None
    extents = np.array(scan.images.shape) * stored
    assert np.abs(extents - (140, 170, 150)).max() < 6 * stored
    assert set(scan.slices) == {"axial", "coronal", "sagittal"}


def test_the_cache_serves_a_scan_until_its_file_or_the_options_change(tmp_path: Path) -> None:
    path, cache = _saved(_head(3.0), tmp_path / "head.nii.gz"), tmp_path / "cache"
    first = _read(path, cache)
    (kept,) = cache.iterdir()
    before = kept.stat().st_mtime_ns
    again = _read(path, cache)
    assert kept.stat().st_mtime_ns == before
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in ("images", "classes", "brain"))
    assert again.slices.keys() == first.slices.keys() and again.spacing == first.spacing
    _read(path, cache, DataOptions(correct_bias=False, tissue_levels=None, pixel_size=3.0))
    image = _head(3.0)
    _saved(nib.Nifti1Image(np.asarray(image.dataobj) + 1, image.affine), path)
    _read(path, cache)
    assert len(list(cache.iterdir())) == 3


def test_a_damaged_cache_is_read_anew(tmp_path: Path) -> None:
    path, cache = _saved(_head(3.0), tmp_path / "head.nii.gz"), tmp_path / "cache"
    first = _read(path, cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:500])
    assert np.array_equal(_read(path, cache).classes, first.classes)


def test_label_maps_have_classes_and_a_brain_but_no_images(tmp_path: Path) -> None:
    head = _head(2.0)
    values = np.asarray(head.dataobj)
    labels = np.where(values > 600, 3, np.where(values > 0, 507, 0)).astype(np.int16)
    path = _saved(nib.Nifti1Image(labels, head.affine), tmp_path / "map.nii.gz", codes="LIA")
    (scan,) = read_label_maps([path], _OPTIONS, cache=tmp_path / "cache")
    assert scan.images is None and scan.is_masked
    assert set(np.unique(scan.classes)) == {0, CLASSES.index("cortex"), CLASSES.index("soft tissue")}
    assert np.array_equal(scan.brain > 0, scan.classes == CLASSES.index("cortex"))
    place = np.argwhere(scan.brain).mean(0) - np.array(scan.brain.shape) / 2
    assert (place > 3).all()
    (again,) = read_label_maps([path], _OPTIONS, cache=tmp_path / "cache")
    assert again.images is None and np.array_equal(again.brain, scan.brain)


def test_a_map_without_a_head_is_refused(tmp_path: Path) -> None:
    head = _head(4.0)
    path = _saved(nib.Nifti1Image(np.zeros(head.shape, np.int16), head.affine), tmp_path / "empty.nii.gz")
    with pytest.raises(UserError, match="empty"):
        read_label_maps([path], _OPTIONS, cache=tmp_path / "cache")
