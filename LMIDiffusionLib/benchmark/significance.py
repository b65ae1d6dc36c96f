"""Paired tests over people, with Holm's correction for several measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

LEAST_PEOPLE = 6
"""Fewest people whose differences are tested: five allow no p below .0625."""


def paired_p(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Return p of Wilcoxon's two-sided signed-rank test; None where fewer than six people differ.

    Args:
        first: one value for each person, NaN where there is none.
        second: values of the same people.
    """
    differences = first - second
    finite = differences[np.isfinite(differences)]
    if np.count_nonzero(finite) < LEAST_PEOPLE:
        return None
    return float(wilcoxon(finite).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p values for their number by Holm's step-down method (1979); None stays None and does not count."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = min(1.0, max(largest, p * (len(tested) - rank)))
        corrected[place] = largest
    return corrected


def least_p(people: int) -> float:
    """Return the least p that Wilcoxon's two-sided test can give for a number of people: 2 / 2^people."""
    return 2.0 ** (1 - people)
