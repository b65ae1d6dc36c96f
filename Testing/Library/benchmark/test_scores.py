"""Scores by region, their files, and the tables and tests over subjects."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from LMIDiffusionLib.benchmark import metrics
from LMIDiffusionLib.benchmark.ground_truth import GroundTruth, read_ground_truth
from LMIDiffusionLib.benchmark.pairs import Pair
from LMIDiffusionLib.benchmark.registry import Cost
from LMIDiffusionLib.benchmark.scores import PairScores, score_slices
from LMIDiffusionLib.benchmark.tables import format_tables, write_scans, write_slices
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.normalization import head_mask, to_unit_scale
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume

T1W, TISSUE = sample_scan("sri24_T1w"), sample_scan("sri24_tissue")
EVERY = 20


def ground_truth(target: Volume, checkpoint: Checkpoint, brain: Path | None, every: int = EVERY) -> GroundTruth:
    sliced = SlicedVolume.from_volume(target, pixel_size=checkpoint.pixel_size)
    return read_ground_truth(Pair("pair", T1W, T1W, brain, "SRI24"), target, sliced, every=every)


@pytest.fixture
def t1w() -> Volume:
    return read_volume(T1W)


@pytest.fixture
def anatomical(t1w: Volume, tiny_checkpoint: Checkpoint) -> GroundTruth:
    return ground_truth(t1w, tiny_checkpoint, TISSUE)


@pytest.fixture
def whole_head(head: Volume, tiny_checkpoint: Checkpoint, tmp_path: Path) -> GroundTruth:
    """The synthetic head, whose brain is its middle."""
    x, y = np.ogrid[-20:20, -24:24]
    brain = np.broadcast_to(((x / 14) ** 2 + (y / 18) ** 2 < 1)[..., None], head.array.shape)
    write_volume(tmp_path / "brain.nii.gz", head.with_array(brain.astype(np.uint8)))
    return ground_truth(head, tiny_checkpoint, tmp_path / "brain.nii.gz", every=4)


def test_scored_slices_are_those_with_head_on_the_common_scale(t1w: Volume, anatomical: GroundTruth) -> None:
    volume = np.flip(to_unit_scale(t1w.array), 0)  # stored right to left
    slices = np.moveaxis(volume, 2, 0)
    chosen = np.flatnonzero(head_mask(slices).mean((1, 2)) >= 0.1)[::EVERY]
    assert anatomical.indices == chosen.tolist()
    np.testing.assert_allclose(anatomical.images, slices[chosen], atol=1e-6)


def test_the_ground_truth_itself_scores_perfectly(anatomical: GroundTruth, tiny_checkpoint: Checkpoint) -> None:
    values, scan = score_slices(anatomical.images, anatomical, tiny_checkpoint)
    assert np.isposinf(values["psnr"]).all()
    assert np.isposinf(values["brain_psnr"]).all()
    for measure in ("ssim", "agreement", "macro_dice", "brain_ssim", "brain_agreement", "matched_ssim"):
        np.testing.assert_allclose(values[measure], 1, atol=1e-6)
    for measure in ("gradient", "brain_gradient", "brain_correlation"):
        assert scan[measure] == pytest.approx(1)


def test_whole_slices_are_scored_by_the_plain_metrics(anatomical: GroundTruth, tiny_checkpoint: Checkpoint) -> None:
    images = np.sqrt(anatomical.images)
    values, _ = score_slices(images, anatomical, tiny_checkpoint)
    np.testing.assert_allclose(values["psnr"], metrics.psnr(images, anatomical.images))
    np.testing.assert_allclose(values["mae"], metrics.mean_absolute_error(images, anatomical.images))


def test_an_error_outside_the_brain_shows_there_alone(whole_head: GroundTruth, tiny_checkpoint: Checkpoint) -> None:
    assert whole_head.outside is not None
    assert whole_head.outside.any()
    wrong = np.where(whole_head.outside, 1 - whole_head.images, whole_head.images)
    values, scan = score_slices(wrong, whole_head, tiny_checkpoint)
    assert np.isposinf(values["brain_psnr"]).all()
    assert scan["brain_correlation"] == pytest.approx(1)
    assert np.nanmax(values["outside_psnr"]) < np.nanmin(values["psnr"])


def test_a_brain_only_scan_has_no_scores_outside_the_brain(
    anatomical: GroundTruth, tiny_checkpoint: Checkpoint
) -> None:
    values, _ = score_slices(np.sqrt(anatomical.images), anatomical, tiny_checkpoint)
    assert np.isnan(values["outside_psnr"]).all()
    assert np.isfinite(values["brain_psnr"]).all()


def test_tone_matched_scores_forgive_a_tone_curve_and_nothing_else(
    anatomical: GroundTruth, tiny_checkpoint: Checkpoint
) -> None:
    bright, _ = score_slices(np.sqrt(anatomical.images), anatomical, tiny_checkpoint)
    assert bright["psnr"].max() < 25
    assert bright["matched_psnr"].min() > 40
    inverted, _ = score_slices(np.where(anatomical.head, 1 - anatomical.images, 0), anatomical, tiny_checkpoint)
    assert inverted["matched_psnr"].max() < 25


def test_mean_intensities_of_tissues_are_those_of_their_voxels(
    t1w: Volume, anatomical: GroundTruth, tiny_checkpoint: Checkpoint
) -> None:
    _, scan = score_slices(0.5 * anatomical.images, anatomical, tiny_checkpoint)
    tissue, scaled = read_volume(TISSUE).array, to_unit_scale(t1w.array)
    for label, name in enumerate(("CSF", "gray matter", "white matter"), 1):
        chosen = anatomical.indices
        expected = scaled[:, :, chosen][tissue[:, :, chosen] == label].mean()
        assert scan[f"true mean {name}"] == pytest.approx(expected, abs=1e-3)
        assert scan[f"mean {name}"] == pytest.approx(expected / 2, abs=1e-3)


def test_labels_of_dlmuse_give_tissues_and_the_means_of_their_groups(
    t1w: Volume, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """The tissue map in DLMUSE's numbers: 51 and 52 the lateral ventricles, 59 the thalamus, 81 white matter."""
    labels = np.array([0, 51, 59, 81], np.uint8)[read_volume(TISSUE).array.astype(int)]
    write_volume(tmp_path / "dlmuse.nii.gz", t1w.with_array(labels))
    truth = ground_truth(t1w, tiny_checkpoint, tmp_path / "dlmuse.nii.gz")
    plain = ground_truth(t1w, tiny_checkpoint, TISSUE)
    np.testing.assert_array_equal(truth.tissues, plain.tissues)
    _, scan = score_slices(truth.images, truth, tiny_checkpoint)
    assert scan["mean thalamus"] == pytest.approx(scan["mean gray matter"])
    assert scan["mean ventricles"] == pytest.approx(scan["mean CSF"])
    assert np.isnan(scan["mean caudate"])


def test_tissue_dice_compares_with_anatomical_labels_or_with_the_targets_own_classes(
    t1w: Volume, anatomical: GroundTruth, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    by_labels, _ = score_slices(anatomical.images, anatomical, tiny_checkpoint)
    write_volume(tmp_path / "brain.nii.gz", t1w.with_array((read_volume(TISSUE).array > 0).astype(np.uint8)))
    masked = ground_truth(t1w, tiny_checkpoint, tmp_path / "brain.nii.gz")
    assert masked.groups == {}
    by_itself, _ = score_slices(masked.images, masked, tiny_checkpoint)
    assert 0 < np.nanmean(by_labels["dice_white"]) < 1
    for measure in ("dice_csf", "dice_gray", "dice_white"):
        # This result is the truth, so it scores what a perfect translation would.
        np.testing.assert_array_equal(by_labels[measure], by_labels[f"target_{measure}"])
        assert np.nanmin(by_itself[measure]) == 1


def test_without_a_mask_only_whole_slices_are_scored(t1w: Volume, tiny_checkpoint: Checkpoint) -> None:
    truth = ground_truth(t1w, tiny_checkpoint, None)
    values, scan = score_slices(truth.images, truth, tiny_checkpoint)
    assert not [name for name in (*values, *scan) if name.startswith(("brain_", "outside_", "dice_", "mean "))]


def test_the_expected_error_is_scored_inside_the_brain(anatomical: GroundTruth, tiny_checkpoint: Checkpoint) -> None:
    assert anatomical.brain is not None
    wrong = np.where(anatomical.brain, anatomical.images + 0.1, 0)
    expected = np.where(anatomical.brain, 0.06, 0).astype(np.float32)
    _, scan = score_slices(wrong, anatomical, tiny_checkpoint, expected=expected)
    assert scan["rms_error"] == pytest.approx(0.1, abs=1e-5)
    assert scan["mean_expected"] == pytest.approx(0.06, abs=1e-5)
    assert scan["coverage"] == 1
    _, half = score_slices(wrong, anatomical, tiny_checkpoint, expected=expected * np.float32(0.5))
    assert half["coverage"] == 0
    assert "coverage" not in score_slices(wrong, anatomical, tiny_checkpoint)[1]


def test_flicker_is_that_of_neighboring_slices_alone(t1w: Volume, tiny_checkpoint: Checkpoint) -> None:
    for every, has_flicker in ((1, True), (2, False)):
        truth = ground_truth(t1w, tiny_checkpoint, None, every=every)
        values, _ = score_slices(0.5 * truth.images, truth, tiny_checkpoint)
        assert ("flicker" in values) == has_flicker
    thin = dataclasses.replace(truth, indices=truth.indices[:1], images=truth.images[:1], head=truth.head[:1])
    assert "flicker" not in score_slices(thin.images, thin, tiny_checkpoint)[0]


def test_a_volume_without_head_or_a_mask_elsewhere_is_refused(
    head: Volume, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    speck = np.zeros_like(head.array)
    speck[20, 24, 10] = 1
    with pytest.raises(UserError, match="no axial slice with a tenth of it head"):
        ground_truth(head.with_array(speck), tiny_checkpoint, None)
    with pytest.raises(UserError, match="no label on the scan"):
        ground_truth(head, tiny_checkpoint, TISSUE)


def scores(pair: str, method: str, psnr: list[float], **scan: float) -> PairScores:
    values = {name: np.array([0.25, 0.75])[: len(psnr)] for name in ("ssim", "mae", "agreement", "macro_dice")}
    indices, images = 10 * np.arange(len(psnr)), np.zeros((len(psnr), 4, 4), np.float32)
    return PairScores(pair, method, indices, {"psnr": np.array(psnr), **values}, scan, 0.1, images)


def pair(name: str, subject: str, **more: Any) -> Pair:
    return Pair(name, Path(f"{name}.nii"), Path("t1w.nii"), None, subject, **more)


def test_scores_survive_their_file(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 6)).astype(np.float32) / np.float32(255)
    written = dataclasses.replace(scores("a", "identity", [20.0, np.inf], gradient=1.5), images=images)
    written.write(tmp_path / "a.npz")
    read = PairScores.read(tmp_path / "a.npz", "a", "identity")
    np.testing.assert_allclose(read.images, images, atol=1e-7)
    assert read.scan == {"gradient": 1.5}
    assert read.seconds == 0.1
    for name, values in written.values.items():
        np.testing.assert_array_equal(read.values[name], values)


COSTS = {"identity": Cost(), "halved": Cost(), "lmidiffusion": Cost(1_327_000, 12_900, 4500.0)}


def test_table_and_files_hold_the_same_means(tmp_path: Path) -> None:
    results = [
        scores(name, method, [20.0 + shift, 30.0 + shift, np.inf][: 3 - shift], gradient=1.0 + shift)
        for name, shift in (("a", 0), ("b", 1))
        for method in ("identity", "lmidiffusion")
    ]
    results = [dataclasses.replace(r, values={"psnr": r.values["psnr"]}) for r in results]
    table = format_tables(results, [pair("a", "ta"), pair("b", "tb")], reference="lmidiffusion", costs=COSTS)
    assert table.startswith("2 people, 2 pairs, 5 slices")
    row = next(line for line in table.splitlines() if line.startswith("| identity"))
    assert "25.50 ± 0.50" in row, "25 and 26 dB over two people"
    assert "1.500 ± 0.500" in row
    assert [cell.strip() for cell in row.split("|")[-3:-1]] == ["-", "-"]
    ours = next(line for line in table.splitlines() if line.startswith("| lmidiffusion"))
    assert [cell.strip() for cell in ours.split("|")[-3:-1]] == ["1,327,000", "12,900 steps, 1.25 h"]
    write_slices(results, tmp_path / "scores.csv")
    write_scans(results, [pair("a", "ta"), pair("b", "tb")], tmp_path / "scans.csv")
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert [float(each["psnr"]) for each in rows if each["pair"] == "b" and each["method"] == "identity"] == [21, 31]
    assert [each["slice"] for each in rows[:3]] == ["0", "10", "20"]
    with (tmp_path / "scans.csv").open() as file:
        scans = list(csv.DictReader(file))
    assert [(each["pair"], float(each["psnr"]), float(each["gradient"])) for each in scans[::2]] == [
        ("a", 25.0, 1.0),
        ("b", 26.0, 2.0),
    ]


def p_values(table: str, method: str) -> list[str]:
    lines = table[table.index("p of Wilcoxon") :].splitlines()
    return [cell.strip() for cell in next(line for line in lines if line.startswith(f"| {method}")).split("|")[2:-1]]


def test_methods_are_compared_over_people_not_slices() -> None:
    """Seven people whose means differ in one direction give the smallest p of seven pairs, 2 / 2^7."""
    pairs = [pair(f"s{i}_{kind}", f"t{i}") for i in range(7) for kind in ("PDw", "T2w")]
    results = [
        scores(each.name, method, [20.0 + index + shift, 22.0 + index])
        for index, each in enumerate(pairs)
        for method, shift in (("identity", -1 - 0.1 * index), ("lmidiffusion", 0.0))
    ]
    table = format_tables(results, pairs, reference="lmidiffusion", costs=COSTS)
    assert table.startswith("7 people, 14 pairs, 28 slices")
    assert "7 people allow no p below 0.016" in table
    psnr, ssim, *_ = p_values(table, "identity")
    assert float(psnr) == pytest.approx(2 / 2**7, rel=0.05)
    assert ssim == "-", "equal measures have no test"


def test_fewer_than_six_people_are_not_tested() -> None:
    pairs = [pair(f"s{i}", f"t{i}") for i in range(5)]
    results = [scores(p.name, method, [20.0, 21.0]) for p in pairs for method in ("identity", "lmidiffusion")]
    assert "Wilcoxon" not in format_tables(results, pairs, reference="lmidiffusion", costs=COSTS)


def test_mean_intensities_stand_beside_those_of_the_target(
    anatomical: GroundTruth, tiny_checkpoint: Checkpoint
) -> None:
    images: NDArray[np.float32] = 0.5 * anatomical.images
    values, scan = score_slices(images, anatomical, tiny_checkpoint)
    result = PairScores("a", "halved", np.array(anatomical.indices), values, scan, 0.1, images)
    lines = format_tables([result], [pair("a", "ta")], reference="halved", costs=COSTS).splitlines()
    start = lines.index("Mean intensity of parts of the brain")
    true, halved = (
        [float(cell.split("±")[0]) for cell in line.split("|")[2:-1]] for line in lines[start + 4 : start + 6]
    )
    assert true == sorted(true), "fluid, gray and white matter of a T1w scan"
    np.testing.assert_allclose(halved, np.array(true) / 2, atol=1e-3)
