"""The person as the unit of statistics: slices are averaged to scans, and scans to people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .metrics import SliceValues
from .pairs import Pair
from .scores import PairScores


def methods_of(results: Iterable[PairScores]) -> list[str]:
    """Return the names of the methods, each once, in their order."""
    return list(dict.fromkeys(result.method for result in results))


def subjects_of(pairs: Iterable[Pair]) -> list[str]:
    """Return the subjects of pairs, each once, in their order."""
    return list(dict.fromkeys(pair.subject for pair in pairs))


def headline_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """Select the pairs of people that were not used for choices; all pairs if there is no such pair."""
    return [pair for pair in pairs if pair.kind == "person" and not pair.choosing] or [*pairs]


def subject_means(results: Iterable[PairScores], pairs: Iterable[Pair], method: str, measure: str) -> SliceValues:
    """Average a measure of a method over the slices of each scan, then over the scans of each subject.

    Returns:
        One value for each of `subjects_of(pairs)`, NaN for subjects without a finite value.
    """
    scans = {result.pair: result.mean(measure) for result in results if result.method == method}
    by_subject: dict[str, list[float]] = {}
    for pair in pairs:
        by_subject.setdefault(pair.subject, []).append(scans.get(pair.name, np.nan))
    return np.array([_finite_mean(values) for values in by_subject.values()])


def _finite_mean(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
