"""Reliability of the expected error: whether errors are as large as expected, over all pixels that expect the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..images.files import atomic_path
from .metrics import Region
from .pairs import Pair
from .people import headline_pairs
from .scores import PairScores

_EDGES = np.linspace(0, 0.3, 13)
_FACTORS = np.geomspace(0.1, 10, 401)
COVERAGE = 0.935
"""Wanted share of errors within two expected errors: the middle of .90 to .97."""
_LEAST_SHARE = 0.005  # of a set's pixels in a bin, below which the bin is not drawn


def error_tables(
    images: NDArray[np.float32], target: NDArray[np.float32], expected: NDArray[np.float32], region: Region
) -> dict[str, NDArray[np.float64]]:
    """Return what is kept of the expected errors of a scan.

    Args:
        images: (N, H, W) in [0, 1].
        target: (N, H, W) in [0, 1].
        expected: (N, H, W), expected errors of the images.
        region: pixels that count.

    Returns:
        `reliability` (3, B): number of pixels, sum of squared expected errors and sum of squared errors by bin of
        expected error; `coverages`: share of errors that would be at most twice the expected one, were this multiplied
        with each of `_FACTORS`.
    """
    error, expectation = np.abs(images.astype(np.float64) - target)[region], expected[region].astype(np.float64)
    bins, count = np.digitize(expectation, _EDGES[1:-1]), len(_EDGES) - 1
    weights = (np.ones_like(error), expectation**2, error**2)
    coverages = [np.mean(error <= 2 * factor * expectation) if len(error) else np.nan for factor in _FACTORS]
    return {
        "reliability": np.array([np.bincount(bins, weight, minlength=count) for weight in weights]),
        "coverages": np.array(coverages),
    }


def fitted_factor(results: Sequence[PairScores]) -> float:
    """Return the factor of the expected errors at which the mean coverage of scans is `COVERAGE`."""
    means = np.nanmean([each.tables["coverages"] for each in results if each.tables], axis=0)
    return float(np.exp(np.interp(COVERAGE, means, np.log(_FACTORS))))


def factor_sentence(results: Sequence[PairScores], pairs: Sequence[Pair], *, factor: float) -> str:
    """Return a sentence about the factor that fits the pairs used for choices, or all if there are none.

    Args:
        results: of one method.
        pairs: the scored pairs.
        factor: that the expected errors have been multiplied with.
    """
    choosing = [pair.name for pair in pairs if pair.choosing] or [pair.name for pair in pairs]
    chosen = [result for result in results if result.pair in choosing]
    fitted = factor * fitted_factor(chosen)
    return (
        f"Expected errors are {factor:.2f} times the distance of the draws from the translation. The factor at which"
        f" {COVERAGE:.1%} of errors are within two expected errors, mean over {_named(chosen)}, is {fitted:.2f}."
    )


def _named(results: Sequence[PairScores]) -> str:
    return f"{len(results)} pairs ({', '.join(result.pair for result in results)})"


def save_reliability(path: Path, results: Sequence[PairScores], pairs: Sequence[Pair]) -> None:
    """Plot the root mean square error of pixels against their expected error, a line for each set of pairs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    largest = float(_EDGES[-1])
    axes.plot([0, largest], [0, largest], color="gray", linestyle="--", label="as expected")
    for group in dict.fromkeys(pair.group for pair in headline_pairs(pairs)):
        names = {pair.name for pair in headline_pairs(pairs) if pair.group == group}
        found = [each.tables["reliability"] for each in results if each.pair in names]
        counts, expected, errors = np.sum(found, axis=0) if found else np.zeros((3, 1))
        shown = counts > _LEAST_SHARE * counts.sum()
        expected, errors = (np.sqrt(each[shown] / counts[shown]) for each in (expected, errors))
        axes.plot(expected, errors, "o-", label=group or "all pairs")
    axes.set(xlabel="expected error", ylabel="root mean square error", xlim=(0, largest), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
