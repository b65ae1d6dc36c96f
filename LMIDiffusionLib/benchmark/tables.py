"""Tables of scores: Markdown for people, CSV for programs, and tests over subjects."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from ..images.files import atomic_path
from ..segmentation.classes import TISSUES
from .metrics import SliceValues
from .pairs import Pair
from .registry import Cost
from .scores import (
    BRAIN,
    MEAN,
    MEASURES,
    OUTSIDE,
    TARGET_TISSUE_MEASURES,
    TISSUE_MEASURES,
    TRUE_MEAN,
    WHOLE,
    PairScores,
)

# A paired test over fewer subjects cannot reach 0.05.
_LEAST_SUBJECTS = 6
_BY_PAIR = ("psnr", "ssim", "agreement", "macro_dice")

Columns = Mapping[str, str]
"""Names of measures and their headings."""


@dataclass(frozen=True)
class BenchmarkReport:
    """Tables of a benchmark, and one line for each failure."""

    tables: str
    failures: list[str]


def format_tables(
    results: Sequence[PairScores], pairs: Sequence[Pair], *, reference: str, costs: Mapping[str, Cost]
) -> str:
    """Means and standard deviations of every method, by region and by pair, and how methods differ from a reference.

    Args:
        results: of every method on every pair.
        pairs: which have been scored.
        reference: name of the method that others are tested against.
        costs: of every method.
    """
    slices = sum(len(result) for result in results if result.method == results[0].method)
    subjects = len({pair.target for pair in pairs})
    parts = [f"{subjects} subjects, {len(pairs)} pairs, {slices} slices; mean ± standard deviation", ""]
    for title, columns in _regions(results):
        parts += [title, "", *_methods_table(results, columns, costs), ""]
        parts += _differences(results, pairs, columns, reference)
    if any("dice_csf" in result.values for result in results):
        parts += [own_classes_sentence(results), ""]
    parts += [*_mean_intensities(results), *_by_pair(results, pairs)]
    return "\n".join(parts).rstrip()


def _regions(results: Sequence[PairScores]) -> Iterator[tuple[str, Columns]]:
    """Title and columns of each table; those of measures that no result has are left out."""
    tables = (
        ("Whole slices", _columns(WHOLE) | {"flicker": "Flicker"}),
        ("Inside the brain", _columns(BRAIN) | {f"{BRAIN}correlation": "Correlation"} | TISSUE_MEASURES),
        ("The head outside the brain", _columns(OUTSIDE)),
    )
    for title, columns in tables:
        present = {
            name: heading for name, heading in columns.items() if any(len(each.finite(name)) for each in results)
        }
        if present:
            yield title, present


def _columns(prefix: str) -> dict[str, str]:
    return {prefix + name: title for name, title in MEASURES.items()}


def _methods_table(results: Sequence[PairScores], columns: Columns, costs: Mapping[str, Cost]) -> list[str]:
    rows = []
    for method in methods_of(results):
        own = [result for result in results if result.method == method]
        seconds = sum(result.seconds * len(result) for result in own) / sum(len(result) for result in own)
        scores = (mean_and_deviation(own, name) for name in columns)
        rows.append([method, *scores, f"{seconds:.3f}", *_cost(costs[method])])
    return markdown(["method", *columns.values(), "s/slice", "Parameters", "Training"], rows)


def _cost(cost: Cost) -> tuple[str, str]:
    """Parameters, and steps with their time where it is known."""
    if cost.parameters is None:
        return "-", "-"
    time = "" if cost.training_seconds is None else f", {cost.training_seconds / 3600:.2f} h"
    return f"{cost.parameters:,}", f"{cost.training_steps:,} steps{time}"


def own_classes_sentence(results: Sequence[PairScores]) -> str:
    """The sentence under tables with Dice of tissues."""
    one_method = [result for result in results if result.method == results[0].method]
    scores = ", ".join(mean_and_deviation(one_method, TARGET_TISSUE_MEASURES[measure]) for measure in TISSUE_MEASURES)
    return (
        f"{', '.join(TISSUE_MEASURES.values())}: Dice of {', '.join(TISSUES)}."
        f" The true target's own classes would score {scores}."
    )


def _mean_intensities(results: Sequence[PairScores]) -> list[str]:
    """A table of the parts of the brain, in the truth and in every method's result; nothing without labels."""
    parts = list(dict.fromkeys(name.removeprefix(MEAN) for r in results for name in r.scan if name.startswith(MEAN)))
    if not parts:
        return []
    one_method = [result for result in results if result.method == results[0].method]
    rows = [["true target", *(mean_and_deviation(one_method, TRUE_MEAN + part) for part in parts)]]
    for method in methods_of(results):
        own = [result for result in results if result.method == method]
        rows.append([method, *(mean_and_deviation(own, MEAN + part) for part in parts)])
    return ["Mean intensity of parts of the brain", "", *markdown(["method", *parts], rows), ""]


def _by_pair(results: Sequence[PairScores], pairs: Sequence[Pair]) -> list[str]:
    methods = methods_of(results)
    cells = {(r.pair, r.method): " / ".join(_mean(r.finite(name), name) for name in _BY_PAIR) for r in results}
    rows = [[pair.name, *(cells[pair.name, method] for method in methods)] for pair in pairs]
    return [f"By pair: {' / '.join(MEASURES[name] for name in _BY_PAIR)}", "", *markdown(["pair", *methods], rows)]


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    lines = [heading, ["-" * width for width in widths], *rows]
    return ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]


def methods_of(results: Iterable[PairScores]) -> list[str]:
    """Names of the methods, each once, in their order."""
    return list(dict.fromkeys(result.method for result in results))


def mean_and_deviation(results: Iterable[PairScores], measure: str) -> str:
    """Mean and standard deviation of a measure over all slices, or all scans, of some results."""
    values = np.concatenate([result.finite(measure) for result in results])
    return f"{_mean(values, measure)} ± {values.std():.{_digits(measure)}f}" if len(values) else "-"


def _mean(values: SliceValues, measure: str) -> str:
    return f"{values.mean():.{_digits(measure)}f}" if len(values) else "-"


def _digits(measure: str) -> int:
    return 2 if measure.endswith("psnr") else 3


def _differences(results: Sequence[PairScores], pairs: Sequence[Pair], columns: Columns, reference: str) -> list[str]:
    """p values of every method against the reference; nothing where there are too few subjects or no reference."""
    methods = methods_of(results)
    if reference not in methods or len({pair.target for pair in pairs}) < _LEAST_SUBJECTS or len(methods) == 1:
        return []
    own = {measure: _subject_means(results, pairs, reference, measure) for measure in columns}
    rows = [
        [method, *(_p_value(_subject_means(results, pairs, method, measure) - own[measure]) for measure in columns)]
        for method in methods
        if method != reference
    ]
    title = f"p of Wilcoxon's paired test over subjects against {reference}"
    return [title, "", *markdown(["method", *columns.values()], rows), ""]


def _p_value(differences: SliceValues) -> str:
    finite = differences[np.isfinite(differences)]
    if np.count_nonzero(finite) < _LEAST_SUBJECTS:
        return "-"
    return f"{wilcoxon(finite).pvalue:.2g}"


def _subject_means(results: Sequence[PairScores], pairs: Sequence[Pair], method: str, measure: str) -> SliceValues:
    """Mean of each subject's finite values; pairs with one target are of one subject."""
    values = {result.pair: result.finite(measure) for result in results if result.method == method}
    means = []
    for target in dict.fromkeys(pair.target for pair in pairs):
        joined = np.concatenate([values[pair.name] for pair in pairs if pair.target == target])
        means.append(joined.mean() if len(joined) else np.nan)
    return np.array(means)


def write_slices(results: Sequence[PairScores], path: Path) -> None:
    """One row a pair, method and scored slice."""
    measures = list(dict.fromkeys(name for result in results for name in result.values))
    rows = (
        [result.pair, result.method, index, *(result.values[m][row] if m in result.values else "" for m in measures)]
        for result in results
        for row, index in enumerate(result.indices.tolist())
    )
    _write(path, ["pair", "method", "slice", *measures], rows)


def write_scans(results: Sequence[PairScores], path: Path) -> None:
    """One row a pair and method: means over its slices, and what is measured of the whole scan."""
    measures = list(dict.fromkeys(name for result in results for name in (*result.values, *result.scan)))
    rows = (
        [r.pair, r.method, len(r), r.seconds, *(r.finite(m).mean() if len(r.finite(m)) else "" for m in measures)]
        for r in results
    )
    _write(path, ["pair", "method", "slices", "seconds", *measures], rows)


def _write(path: Path, heading: list[str], rows: Iterable[list[object]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heading)
        writer.writerows(rows)
