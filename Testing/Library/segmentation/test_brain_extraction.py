"""The brain that is found in a translation, and what is refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.masks import read_mask
from LMIDiffusionLib.images.volume import Volume, read_volume
from LMIDiffusionLib.interface.resources import resource
from LMIDiffusionLib.jobs.translation_job import FOUND, TranslationJob
from LMIDiffusionLib.segmentation import brain_extraction
from LMIDiffusionLib.translation.options import TranslationOptions


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
    with pytest.raises(UserError, match=r"measures 1\d\d ml"):
        brain_extraction.find_brain(doll)


def test_of_several_pieces_the_largest_is_kept_and_its_holes_are_filled() -> None:
    mask = np.zeros((12, 12, 12), bool)
    mask[1:7, 1:7, 1:7] = True
    mask[3, 3, 3] = False
    mask[9:11, 9:11, 9:11] = True
    expected = np.zeros_like(mask)
    expected[1:7, 1:7, 1:7] = True
    np.testing.assert_array_equal(brain_extraction.largest_piece(mask), expected)
    assert not brain_extraction.largest_piece(np.zeros_like(mask)).any()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"segmentation": None}, "leave out --find-brain"),
        ({"clusters": 5}, "--clusters 5"),
        ({"options": TranslationOptions(slices=(3, 5))}, "--slices"),
    ],
)
def test_what_does_not_go_with_it_is_refused_at_once(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    job = {"segmentation": tmp_path / "s.nii", "mask": FOUND, **options}
    with pytest.raises(UserError, match=reason):
        TranslationJob(tmp_path / "in.nii", tmp_path / "out.nii", "none", **job)._check_request()


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(UserError, match="pip install deepbet"):
        brain_extraction.check_brain_finder()
