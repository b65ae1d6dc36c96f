"""The brain that is found in a translation, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.masks import read_mask
from LMIDiffusionLib.images.volume import Volume, read_volume
from LMIDiffusionLib.interface.resources import resource
from LMIDiffusionLib.jobs.translation_job import TranslationJob
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.segmentation import brain_extraction
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import FOUND, ScanSettings, SegmentationSettings


def test_the_brain_of_a_t1w_head_is_found() -> None:
    pytest.importorskip("deepbet", reason="needs deepbet; pip install '.[brain]'")
    head = read_volume(resource("SampleData", "sri24_T1w.nii.gz"))
    true = read_mask(resource("SampleData", "sri24_tissue.nii.gz"), head)
    found = brain_extraction.find_brain(head)
    assert found.shape == head.array.shape
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.95


def test_a_brain_of_the_wrong_size_is_refused_with_its_volume() -> None:
    pytest.importorskip("deepbet", reason="needs deepbet; pip install '.[brain]'")
    head = read_volume(resource("SampleData", "sri24_T1w.nii.gz"))
    doll = Volume(head.array, head.affine @ np.diag([0.5, 0.5, 0.5, 1.0]))
    with pytest.raises(UserError, match=r"has 1\d\d ml"):
        brain_extraction.find_brain(doll)


def test_the_largest_piece_is_kept_and_its_holes_are_filled() -> None:
    mask = np.zeros((12, 12, 12), bool)
    mask[1:7, 1:7, 1:7] = True
    mask[3, 3, 3] = False
    mask[9:11, 9:11, 9:11] = True
    expected = np.zeros_like(mask)
    expected[1:7, 1:7, 1:7] = True
    np.testing.assert_array_equal(brain_extraction.largest_piece(mask), expected)
    assert not brain_extraction.largest_piece(np.zeros_like(mask)).any()


def test_a_job_that_finds_the_brain_but_writes_no_segmentation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.nii").touch()
    job = TranslationJob(tmp_path / "in.nii", tmp_path / "out.nii", mask=FOUND)
    with pytest.raises(UserError, match="--find-brain is used only with"):
        job._check()


@pytest.mark.parametrize(("clusters", "slices", "reason"), [(5, None, "--clusters 5"), (None, (3, 5), "--slices")])
def test_settings_that_exclude_finding_the_brain_are_refused_before_translation(
    tiny_checkpoint: Checkpoint, clusters: int | None, slices: tuple[int, int] | None, reason: str
) -> None:
    wanted = SegmentationSettings(FOUND, clusters)
    with pytest.raises(UserError, match=reason):
        ScanSettings(tiny_checkpoint, TranslationOptions(slices=slices), wanted).check()


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(UserError, match="pip install deepbet"):
        brain_extraction.check_brain_finder()
