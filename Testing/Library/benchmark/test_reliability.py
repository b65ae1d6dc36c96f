"""Reliability of the expected error: its tables, the factor that fits, and the diagram."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from LMIDiffusionLib.benchmark.metrics import coverage
from LMIDiffusionLib.benchmark.pairs import Pair
from LMIDiffusionLib.benchmark.reliability import (
    COVERAGE,
    error_tables,
    factor_sentence,
    fitted_factor,
    save_reliability,
)
from LMIDiffusionLib.benchmark.scores import PairScores

SHAPE = (3, 60, 70)
EXPECTED = np.random.default_rng(0).uniform(0.02, 0.2, SHAPE).astype(np.float32)
TARGET = np.full(SHAPE, 0.5, np.float32)
EVERYWHERE = np.ones(SHAPE, bool)


def _result(name: str, *, too_small: float) -> PairScores:
    """Normal errors that are larger than expected by a factor."""
    errors = np.random.default_rng(1).normal(0, 1, SHAPE) * EXPECTED * too_small
    images = (TARGET + errors).astype(np.float32)
    tables = error_tables(images, TARGET, EXPECTED, EVERYWHERE)
    return PairScores(name, "lmidiffusion", np.arange(3), {"psnr": np.ones(3)}, {}, 1.0, images, tables)


def _pair(name: str, *, choosing: bool) -> Pair:
    return Pair(name, Path(name), Path(name), None, subject=name, group="set", choosing=choosing)


def test_the_fitted_factor_gives_the_wanted_coverage() -> None:
    result = _result("a", too_small=2.5)
    factor = fitted_factor([result])
    found = coverage(TARGET + (result.images - TARGET), TARGET, factor * EXPECTED, EVERYWHERE)
    assert found == pytest.approx(COVERAGE, abs=0.005)
    assert factor == pytest.approx(2.5 * 1.845 / 2, rel=0.03), "a normal error is below 1.845 deviations in 93.5 %"


def test_the_factor_is_fitted_on_the_pairs_used_for_choices_alone() -> None:
    results = [_result("chosen", too_small=2.0), _result("other", too_small=5.0)]
    sentence = factor_sentence(results, [_pair("chosen", choosing=True), _pair("other", choosing=False)], factor=3.0)
    assert f"is {3 * fitted_factor(results[:1]):.2f}." in sentence
    assert "1 pairs (chosen)" in sentence


def test_bins_hold_all_pixels_and_exact_expectations_lie_on_the_diagonal() -> None:
    counts, expected, errors = error_tables(TARGET + EXPECTED, TARGET, EXPECTED, EVERYWHERE)["reliability"]
    assert counts.sum() == EXPECTED.size
    np.testing.assert_allclose(errors, expected, rtol=1e-4)
    half = EVERYWHERE.copy()
    half[:, ::2] = False
    assert error_tables(TARGET, TARGET, EXPECTED, half)["reliability"][0].sum() == half.sum()


def test_tables_survive_the_file_of_scores(tmp_path: Path) -> None:
    result = _result("a", too_small=1.0)
    result.write(tmp_path / "a.npz")
    found = PairScores.read(tmp_path / "a.npz", "a", "lmidiffusion")
    assert found.values.keys() == {"psnr"} and found.tables.keys() == result.tables.keys()
    for name, table in result.tables.items():
        np.testing.assert_array_equal(found.tables[name], table)


def test_the_diagram_shows_what_the_errors_are(tmp_path: Path) -> None:
    pictures = []
    for number, too_small in enumerate((1.0, 3.0)):
        path = tmp_path / f"{number}.png"
        save_reliability(path, [_result("a", too_small=too_small)], [_pair("a", choosing=False)])
        pictures.append(np.asarray(Image.open(path)))
    assert (pictures[0] != pictures[1]).any()
