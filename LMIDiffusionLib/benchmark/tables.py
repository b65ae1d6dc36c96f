"""Tables of scores over people: Markdown for readers, CSV for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..images.files import write_csv
from ..segmentation.classes import TISSUES
from .metrics import SliceValues
from .pairs import Pair
from .people import headline_pairs, methods_of, subject_means, subjects_of
from .registry import Cost
from .scores import (
    BRAIN,
    MEAN,
    MEASURES,
    OUTSIDE,
    TARGET_TISSUE_MEASURES,
    TISSUE_MEASURES,
    TRUE_MEAN,
    UNCERTAINTY_MEASURES,
    WHOLE,
    PairScores,
)
from .significance import LEAST_PEOPLE, holm, least_p, paired_p

_BY_SET = ("psnr", "ssim")
_BY_PAIR = ("psnr", "ssim", "agreement", "macro_dice")
_PLURALS = {"person": "people", "simulation": "simulations", "atlas": "atlases"}

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
    """Format means over people: by set, by region with tests against a reference method, and by pair.

    Simulations, atlases and pairs that were used for choices stand in the tables by set and by pair alone, unless the
    list has nothing else.

    Args:
        results: scores of every method on every pair that it applies to.
        pairs: the scored pairs.
        reference: name of the method that others are tested against.
        costs: by method.
    """
    counted = headline_pairs(pairs)
    table = _Table(results, counted)
    parts = [*_heading(results, pairs, counted), *_by_set(results, pairs)]
    for title, columns in _regions(table.results):
        parts += [title, "", *_methods_table(table, columns, costs), "", *_tests(table, columns, reference)]
    if any("dice_csf" in result.values for result in table.results):
        parts += [own_classes_sentence(table), ""]
    return "\n".join([*parts, *_mean_intensities(table), *_by_pair(results, pairs)]).rstrip()


class _Table:
    """The results on some pairs, averaged over people."""

    def __init__(self, results: Iterable[PairScores], pairs: Sequence[Pair]) -> None:
        names = {pair.name for pair in pairs}
        self.pairs = pairs
        self.results = [result for result in results if result.pair in names]
        self.methods = methods_of(self.results)

    def means(self, method: str, measure: str) -> SliceValues:
        """Return one value for each subject."""
        return subject_means(self.results, self.pairs, method, measure)

    def cell(self, method: str, measure: str) -> str:
        """Format the mean over people and its standard deviation."""
        values = self.means(method, measure)
        values = values[np.isfinite(values)]
        return f"{_number(values.mean(), measure)} ± {values.std():.{_digits(measure)}f}" if len(values) else "-"

    def of_method(self, method: str) -> list[PairScores]:
        return [result for result in self.results if result.method == method]


def _heading(results: Sequence[PairScores], pairs: Sequence[Pair], counted: Sequence[Pair]) -> list[str]:
    names = {pair.name for pair in counted}
    slices = {result.pair: len(result) for result in results if result.pair in names}
    parts = [
        f"{_count(counted)}, {_plural(len(counted), 'pair')}, {_plural(sum(slices.values()), 'slice')};"
        " slices are averaged to scans and scans to people, mean ± standard deviation over these",
        "",
    ]
    chosen = [pair for pair in pairs if pair.choosing and pair.name not in names]
    others = [pair for pair in pairs if not pair.choosing and pair.name not in names]
    left_out = [f"{_plural(len(chosen), 'pair')} used for choices (*)"] if chosen else []
    left_out += [_count(others)] if others else []
    return [*parts, f"Not counted: {', '.join(left_out)}.", ""] if left_out else parts


def _count(pairs: Sequence[Pair]) -> str:
    """Count the subjects of pairs by kind: `7 people, 1 atlas`."""
    kinds = Counter({pair.subject: pair.kind for pair in pairs}.values())
    return ", ".join(f"{number} {kind if number == 1 else _PLURALS[kind]}" for kind, number in kinds.items())


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def _by_set(results: Sequence[PairScores], pairs: Sequence[Pair]) -> list[str]:
    """Format one row for each set; nothing without sets. Pairs used for choices count where a set has no others."""
    groups = list(dict.fromkeys(pair.group for pair in pairs if pair.group))
    if not groups:
        return []
    rows = []
    for group in groups:
        members = [pair for pair in pairs if pair.group == group]
        fresh = [pair for pair in members if not pair.choosing]
        table = _Table(results, fresh or members)
        name = group if fresh else f"{group}, used for choices (*)"
        cells = (" / ".join(_mean_cell(table.means(m, name), name) for name in _BY_SET) for m in methods_of(results))
        rows.append([name, _count(table.pairs), *cells])
    heading = ["set", "subjects", *methods_of(results)]
    return [f"By set: {' / '.join(MEASURES[name] for name in _BY_SET)}", "", *markdown(heading, rows), ""]


def _regions(results: Sequence[PairScores]) -> Iterator[tuple[str, Columns]]:
    """Yield title and columns of each table, without the measures that no result has."""
    tables = (
        ("Whole slices", _columns(WHOLE) | {"flicker": "Flicker"}),
        ("Inside the brain", _columns(BRAIN) | {f"{BRAIN}correlation": "Correlation"} | TISSUE_MEASURES),
        ("The head outside the brain", _columns(OUTSIDE)),
        ("Expected error", UNCERTAINTY_MEASURES),
    )
    for title, columns in tables:
        present = {name: heading for name, heading in columns.items() if any(len(r.finite(name)) for r in results)}
        if present:
            yield title, present


def _columns(prefix: str) -> dict[str, str]:
    return {prefix + name: title for name, title in MEASURES.items()}


def _methods_table(table: _Table, columns: Columns, costs: Mapping[str, Cost]) -> list[str]:
    rows = []
    for method in table.methods:
        own = table.of_method(method)
        people = len(subjects_of(pair for pair in table.pairs if pair.name in {result.pair for result in own}))
        seconds = sum(result.seconds * len(result) for result in own) / sum(len(result) for result in own)
        cells = (table.cell(method, name) for name in columns)
        rows.append([method, str(people), *cells, f"{seconds:.3f}", *_cost(costs[method])])
    return markdown(["method", "n", *columns.values(), "s/slice", "Parameters", "Training"], rows)


def _cost(cost: Cost) -> tuple[str, str]:
    """Format parameters, and steps with their time if it is known."""
    if cost.parameters is None:
        return "-", "-"
    time = "" if cost.training_seconds is None else f", {cost.training_seconds / 3600:.2f} h"
    return f"{cost.parameters:,}", f"{cost.training_steps:,} steps{time}"


def _tests(table: _Table, columns: Columns, reference: str) -> list[str]:
    """Format p values of every method against the reference; nothing with too few people or without a reference."""
    people = len(subjects_of(table.pairs))
    others = [method for method in table.methods if method != reference]
    if reference not in table.methods or people < LEAST_PEOPLE or not others:
        return []
    own = {measure: table.means(reference, measure) for measure in columns}
    rows = []
    for method in others:
        p_values = holm([paired_p(table.means(method, measure), own[measure]) for measure in columns])
        rows.append([method, *("-" if p is None else f"{p:.2g}" for p in p_values)])
    title = (
        f"p of Wilcoxon's paired test against {reference} over {people} people, corrected for the measures of a row"
        f" (Holm); before the correction {people} people allow no p below {least_p(people):.2g}"
    )
    return [title, "", *markdown(["method", *columns.values()], rows), ""]


def own_classes_sentence(table: _Table) -> str:
    """Return the sentence below tables with Dice of tissues."""
    scores = ", ".join(table.cell(table.methods[0], TARGET_TISSUE_MEASURES[measure]) for measure in TISSUE_MEASURES)
    return (
        f"{', '.join(TISSUE_MEASURES.values())}: Dice of {', '.join(TISSUES)}."
        f" The true target's own classes would score {scores}."
    )


def _mean_intensities(table: _Table) -> list[str]:
    """Format mean intensities of parts of the brain, in the true target and in every result; nothing without labels."""
    names = (name for result in table.results for name in result.scan if name.startswith(MEAN))
    parts = list(dict.fromkeys(name.removeprefix(MEAN) for name in names))
    if not parts:
        return []
    rows = [["true target", *(table.cell(table.methods[0], TRUE_MEAN + part) for part in parts)]]
    rows += [[m, *(table.cell(m, MEAN + part) for part in parts)] for m in table.methods]
    return ["Mean intensity of parts of the brain", "", *markdown(["method", *parts], rows), ""]


def _by_pair(results: Sequence[PairScores], pairs: Sequence[Pair]) -> list[str]:
    methods = methods_of(results)
    found = {(result.pair, result.method): result for result in results}
    rows = []
    for pair in pairs:
        scored = (found.get((pair.name, method)) for method in methods)
        cells = ("-" if each is None else " / ".join(_number(each.mean(m), m) for m in _BY_PAIR) for each in scored)
        rows.append([pair.marked_name, *cells])
    heading = ["pair", *methods]
    return [f"By pair: {' / '.join(MEASURES[name] for name in _BY_PAIR)}", "", *markdown(heading, rows)]


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    lines = [heading, ["-" * width for width in widths], *rows]
    return ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]


def _mean_cell(values: SliceValues, measure: str) -> str:
    finite = values[np.isfinite(values)]
    return _number(finite.mean(), measure) if len(finite) else "-"


def _number(value: float, measure: str) -> str:
    return f"{value:.{_digits(measure)}f}" if np.isfinite(value) else "-"


def _digits(measure: str) -> int:
    return 2 if measure.endswith("psnr") else 3


def write_slices(results: Sequence[PairScores], path: Path) -> None:
    """Write one row for each pair, method and scored slice."""
    measures = list(dict.fromkeys(name for result in results for name in result.values))
    rows = (
        [result.pair, result.method, index, *(result.values[m][row] if m in result.values else "" for m in measures)]
        for result in results
        for row, index in enumerate(result.indices.tolist())
    )
    write_csv(path, [["pair", "method", "slice", *measures], *rows])


def write_scans(results: Sequence[PairScores], pairs: Sequence[Pair], path: Path) -> None:
    """Write one row for each pair and method: means over its slices, and measures of the whole scan."""
    measures = _all_measures(results)
    known = {pair.name: pair for pair in pairs}
    rows = (
        [r.pair, *_facts(known[r.pair]), r.method, len(r), r.seconds, *(_blank(r.mean(m)) for m in measures)]
        for r in results
    )
    write_csv(path, [["pair", "subject", "set", "kind", "choosing", "method", "slices", "seconds", *measures], *rows])


def write_people(results: Sequence[PairScores], pairs: Sequence[Pair], path: Path) -> None:
    """Write one row for each person and method of the headline tables: means over the person's scans."""
    measures, counted = _all_measures(results), headline_pairs(pairs)
    rows: list[list[object]] = []
    for method in methods_of(results):
        columns = [subject_means(results, counted, method, measure) for measure in measures]
        for subject, values in zip(subjects_of(counted), np.array(columns).T, strict=True):
            rows.append([subject, method, *map(_blank, values.tolist())])
    write_csv(path, [["subject", "method", *measures], *rows])


def _all_measures(results: Iterable[PairScores]) -> list[str]:
    return list(dict.fromkeys(name for result in results for name in (*result.values, *result.scan)))


def _facts(pair: Pair) -> tuple[str, str, str, str]:
    return pair.subject, pair.group, pair.kind, "yes" if pair.choosing else "no"


def _blank(value: float) -> object:
    return value if np.isfinite(value) else ""
