from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from LMIDiffusionLib import metrics
from LMIDiffusionLib.baselines import Identity
from LMIDiffusionLib.benchmark.evaluation import SliceScores, evaluate, format_table, read_pairs, write_csv
from LMIDiffusionLib.checkpoint import Checkpoint
from LMIDiffusionLib.demo import sample_scan
from LMIDiffusionLib.diffusion import LMIDiffusion
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.intensity import head_mask, to_unit_scale
from LMIDiffusionLib.method import Method
from LMIDiffusionLib.options import TranslationOptions
from LMIDiffusionLib.volume import read_volume, write_volume

_PDW, _T1W, _TISSUE = (sample_scan(f"sri24_{name}") for name in ("PDw", "T1w", "tissue"))
_QUICK = TranslationOptions(steps=2, samples=1)


def _pairs(folder: Path, *rows: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join(rows))
    return path


Methods = dict[str, Method]


@pytest.fixture
def methods(tiny_checkpoint: Checkpoint) -> Methods:
    return {"source": Identity(), "translation": LMIDiffusion(tiny_checkpoint, device=torch.device("cpu"))}


Evaluate = Callable[..., list[SliceScores]]


@pytest.fixture
def score(tiny_checkpoint: Checkpoint) -> Evaluate:
    """Scores of methods on the pairs of a CSV file."""

    def score_rows(path: Path, methods: Methods, every: int = 20) -> list[SliceScores]:
        return list(evaluate(read_pairs(path), methods, _QUICK, checkpoint=tiny_checkpoint, every=every))

    return score_rows


def test_pairs_are_read_with_and_without_heading_mask_and_folder(tmp_path: Path) -> None:
    pairs = read_pairs(_pairs(tmp_path, "source,target,mask", "a.nii.gz,/elsewhere/b.nii.gz", "", "c.nii,d.nii, e.nii"))
    assert [pair.name for pair in pairs] == ["a", "c"]
    assert pairs[0].source == tmp_path / "a.nii.gz"
    assert pairs[0].target == Path("/elsewhere/b.nii.gz")
    assert pairs[0].brain is None
    assert pairs[1].brain == tmp_path / "e.nii"


@pytest.mark.parametrize("rows", [["source,target"], ["one"], ["a,b,c,d"], []])
def test_a_file_without_pairs_is_refused(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(UserError, match=r"needs one or more rows"):
        read_pairs(_pairs(tmp_path, *rows))


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_pairs(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80,\x81")
    with pytest.raises(UserError, match="no CSV file"):
        read_pairs(tmp_path / "binary.csv")


def test_volumes_on_different_grids_are_refused(tmp_path: Path, methods: Methods, score: Evaluate) -> None:
    target = read_volume(_T1W)
    moved = nib.Nifti1Image(target.array, target.affine + np.eye(4, k=3))
    nib.save(moved, tmp_path / "moved.nii.gz")
    with pytest.raises(UserError, match="lie on different grids"):
        score(_pairs(tmp_path, f"{_PDW},moved.nii.gz"), methods)


def test_source_rows_are_the_direct_metrics_of_head_slices(tmp_path: Path, methods: Methods, score: Evaluate) -> None:
    source, _ = score(_pairs(tmp_path, f"{_PDW},{_T1W}"), methods)
    volumes = [np.flip(to_unit_scale(read_volume(path).array), 0) for path in (_PDW, _T1W)]  # stored right to left
    images, truth = (np.moveaxis(volume, 2, 0) for volume in volumes)
    chosen = np.flatnonzero(head_mask(truth).mean((1, 2)) >= 0.1)[::20]
    np.testing.assert_allclose(source.values["psnr"], metrics.psnr(images[chosen], truth[chosen]), rtol=1e-6)
    np.testing.assert_allclose(source.values["ssim"], metrics.ssim(images[chosen], truth[chosen]), rtol=1e-6)


def test_a_source_that_is_its_own_target_scores_perfectly(tmp_path: Path, methods: Methods, score: Evaluate) -> None:
    source, translation = score(_pairs(tmp_path, f"{_T1W},{_T1W},{_TISSUE}"), methods)
    assert np.isposinf(source.values["psnr"]).all()
    for measure in ("ssim", "agreement", "macro_dice"):
        np.testing.assert_allclose(source.values[measure], 1)
    assert translation.values["ssim"].max() < 1


def test_tissue_dice_compares_with_anatomical_labels_or_with_the_targets_own_classes(
    tmp_path: Path, methods: Methods, score: Evaluate
) -> None:
    anatomical, _ = score(_pairs(tmp_path, f"{_T1W},{_T1W},{_TISSUE}"), methods)
    tissue = read_volume(_TISSUE)
    write_volume(tmp_path / "brain.nii.gz", tissue.with_array((tissue.array > 0).astype(np.uint8)))
    own, _ = score(_pairs(tmp_path, f"{_T1W},{_T1W},brain.nii.gz"), methods)
    assert 0 < np.nanmean(anatomical.values["dice_white"]) < 1
    for measure in ("dice_csf", "dice_grey", "dice_white"):
        # This source is its own target, so it scores what a perfect translation would.
        np.testing.assert_array_equal(anatomical.values[measure], anatomical.values[f"target_{measure}"])
    for measure in ("dice_csf", "dice_grey", "dice_white"):
        assert np.nanmin(own.values[measure]) == 1


def test_flicker_is_that_of_neighbouring_slices_alone(tmp_path: Path, methods: Methods, score: Evaluate) -> None:
    pairs, identity = _pairs(tmp_path, f"{_PDW},{_T1W}"), {"source": methods["source"]}
    (whole,), (thinned,) = (score(pairs, identity, every) for every in (1, 2))
    assert 0 < np.nanmean(whole.values["flicker"]) < 1
    assert "flicker" not in thinned.values


def test_table_and_csv_hold_the_same_means(tmp_path: Path) -> None:
    values = {name: np.array([0.25, 0.75]) for name in ("ssim", "mae", "agreement", "macro_dice")}
    empty = np.zeros((2, 8, 8), np.float32)
    results = [
        SliceScores(pair, method, {"psnr": np.array([20.0, 30.0]) + shift, **values}, 0.5, empty, empty)
        for pair, shift in (("a", 0), ("b", 2))
        for method in ("source", "translation")
    ]
    table = format_table(results).splitlines()
    assert "25.00 ±5.00" in table[1]
    assert "0.500 ±0.250" in table[1]
    assert table[-1].startswith("all 2 pairs")
    assert "26.00 ±5.10" in table[-1]
    write_csv(results, tmp_path / "scores.csv")
    rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert len(rows) == 1 + 8
    assert rows[1].startswith("a,source,0,20.0,0.25")
