"""People as the unit of statistics: identities, averages, paired tests and their correction."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LMIDiffusionLib.benchmark.pairs import Pair, read_pairs
from LMIDiffusionLib.benchmark.people import headline_pairs, subject_means
from LMIDiffusionLib.benchmark.registry import Cost
from LMIDiffusionLib.benchmark.scores import PairScores
from LMIDiffusionLib.benchmark.significance import holm, least_p, paired_p
from LMIDiffusionLib.benchmark.tables import format_tables
from LMIDiffusionLib.errors import UserError


def pair(name: str, subject: str, **more: Any) -> Pair:
    return Pair(name, Path(f"{name}.nii"), Path("t1w.nii"), None, subject, **more)


def scores(name: str, psnr: list[float], method: str = "lmidiffusion") -> PairScores:
    images = np.zeros((len(psnr), 4, 4), np.float32)
    return PairScores(name, method, np.arange(len(psnr)), {"psnr": np.array(psnr)}, {}, 0.1, images)


def test_slices_are_averaged_to_scans_and_scans_to_people() -> None:
    """A person with many slices or many scans weighs as much as any other."""
    pairs = [pair("a1", "anna"), pair("a2", "anna"), pair("b", "ben")]
    results = [scores("a1", [10, 10, 10, 10]), scores("a2", [20, np.inf]), scores("b", [30])]
    np.testing.assert_array_equal(subject_means(results, pairs, "lmidiffusion", "psnr"), [15, 30])


def test_a_subject_without_a_value_is_not_a_number() -> None:
    means = subject_means([scores("a", [np.nan])], [pair("a", "anna"), pair("b", "ben")], "lmidiffusion", "psnr")
    assert np.isnan(means).tolist() == [True, True]


def test_headline_tables_count_people_whose_pairs_were_not_used_for_choices() -> None:
    pairs = [
        pair("a", "anna"),
        pair("b", "ben", choosing=True),
        pair("s", "sim", kind="simulation"),
        pair("t", "atlas", kind="atlas"),
    ]
    assert [each.name for each in headline_pairs(pairs)] == ["a"]
    assert headline_pairs(pairs[1:]) == pairs[1:], "a list without such pairs is counted whole"
    table = format_tables(
        [scores(each.name, [20.0 + n]) for n, each in enumerate(pairs)], pairs, reference="none", costs=COSTS
    )
    assert table.startswith("1 person, 1 pair, 1 slice;")
    assert "Not counted: 1 pair used for choices (*), 1 simulation, 1 atlas." in table
    assert "20.00 ± 0.00" in table
    assert all(f"| {each}" in table for each in ("b* ", "s (simulation)", "t (atlas)"))


COSTS = {"lmidiffusion": Cost(), "identity": Cost()}


def test_the_table_by_set_names_its_subjects_and_leaves_pairs_for_choices_out() -> None:
    pairs = [
        pair("a", "anna", group="T2w"),
        pair("b", "ben", group="T2w"),
        pair("c", "cleo", group="T2w", choosing=True),
        pair("d", "dan", group="PDw", choosing=True),
        pair("e", "sri24", group="atlas PDw", kind="atlas"),
    ]
    results = [scores(each.name, [10.0 * (n + 1)]) for n, each in enumerate(pairs)]
    lines = format_tables(results, pairs, reference="none", costs=COSTS).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("By set"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[start + 4 : start + 7]]
    assert rows == [
        ["T2w", "2 people", "15.00 / -"],
        ["PDw, used for choices (*)", "1 person", "40.00 / -"],
        ["atlas PDw", "1 atlas", "50.00 / -"],
    ]


def test_holm_equals_its_definition_for_all_orders() -> None:
    """The k-th smallest of m p values times m - k + 1, made monotone; missing tests do not count."""
    wanted = {0.01: 0.04, 0.02: 0.06, 0.03: 0.06, 0.5: 0.5}
    for order in itertools.permutations(wanted):
        assert holm([*order, None]) == pytest.approx([*(wanted[p] for p in order), None])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_people_who_all_differ_in_one_direction_give_the_least_p() -> None:
    for people in (6, 7, 13):
        values = np.arange(1, people + 1, dtype=np.float64)
        assert paired_p(values, np.zeros(people)) == pytest.approx(least_p(people))
        assert paired_p(-values, np.zeros(people)) == pytest.approx(least_p(people))


def test_five_people_or_equal_values_are_not_tested() -> None:
    assert paired_p(np.arange(1, 6, dtype=np.float64), np.zeros(5)) is None
    assert paired_p(np.ones(8), np.ones(8)) is None
    assert paired_p(np.array([np.nan, 1, 2, 3, 4, 5]), np.zeros(6)) is None


class TestSubjects:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("anna/t2w.nii", "anna/t1w.nii", "ben/t1w.nii", "sub-07/ses-1/sub-07_T1w.nii", "sub-07_x.nii"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    def subjects(self, folder: Path, text: str) -> list[str]:
        (folder / "pairs.csv").write_text(text)
        return [each.subject for each in read_pairs(folder / "pairs.csv").pairs]

    def test_a_column_names_them(self, folder: Path) -> None:
        text = "source,target,subject\nanna/t2w.nii,anna/t1w.nii,MS 01\nanna/t2w.nii,ben/t1w.nii,MS 01\n"
        assert self.subjects(folder, text) == ["MS 01", "MS 01"]

    def test_bids_paths_name_them_else_folders(self, folder: Path) -> None:
        targets = ("sub-07/ses-1/sub-07_T1w.nii", "sub-07_x.nii", "anna/t1w.nii", "ben/t1w.nii")
        found = self.subjects(folder, "".join(f"anna/t2w.nii,{each}\n" for each in targets))
        assert found == ["07", "07", str((folder / "anna").resolve()), str((folder / "ben").resolve())]

    def test_sets_kinds_and_choices_are_read(self, folder: Path) -> None:
        head = "source,target,set,kind,choosing\n"
        (folder / "pairs.csv").write_text(head + "anna/t2w.nii,anna/t1w.nii,T2w,Atlas,yes\nanna/t2w.nii,ben/t1w.nii\n")
        first, second = read_pairs(folder / "pairs.csv").pairs
        assert (first.group, first.kind, first.choosing) == ("T2w", "atlas", True)
        assert (second.group, second.kind, second.choosing) == ("", "person", False)

    @pytest.mark.parametrize(("column", "value"), [("kind", "phantom"), ("choosing", "maybe")])
    def test_other_kinds_and_choices_are_refused(self, folder: Path, column: str, value: str) -> None:
        with pytest.raises(UserError, match=f"line 2 has.* {value}"):
            self.subjects(folder, f"source,target,{column}\nanna/t2w.nii,anna/t1w.nii,{value}\n")
