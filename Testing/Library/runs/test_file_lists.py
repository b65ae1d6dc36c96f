"""Lists of files as people and spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from LMIDiffusionLib.benchmark.pairs import read_pairs
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.runs.file_lists import read_file_list

PLAIN = "source,target,mask\na.nii.gz,b.nii.gz,m.nii.gz\nc.nii,d.nii,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.nii.gz", "b.nii.gz", "m.nii.gz", "c.nii", "d.nii", "ü.nii"):
        (tmp_path / name).touch()
    return tmp_path


def rows(folder: Path, data: str | bytes) -> list[tuple[str, str, str | None]]:
    path = folder / "list.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    listed = read_file_list(path, required=("source", "target"), optional=("mask",))
    assert not listed.problems
    names = [{column: each.name for column, each in row.paths.items()} for row in listed.rows]
    return [(each["source"], each["target"], each.get("mask")) for each in names]


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace("source,target,mask", "Source, TARGET ,Mask"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", ",,\n"),
        PLAIN.replace("\n", "\n\n , ,\n"),
        "# made by hand, with care\n" + PLAIN + "# a.nii.gz,b.nii.gz\n",
        PLAIN.split("\n", 1)[1],
        "mask,subject,target,source\nm.nii.gz,one,b.nii.gz,a.nii.gz\n,two,d.nii,c.nii\n",
        'source,target,mask\n"a.nii.gz","b.nii.gz","m.nii.gz"\n c.nii , d.nii\n',
    ],
)
def test_lists_in_any_dialect_give_the_same_rows(folder: Path, data: str | bytes) -> None:
    assert rows(folder, data) == [("a.nii.gz", "b.nii.gz", "m.nii.gz"), ("c.nii", "d.nii", None)]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_names_with_accents_are_read_in_any_encoding(folder: Path, encoding: str) -> None:
    assert rows(folder, "ü.nii,d.nii\n".encode(encoding)) == [("ü.nii", "d.nii", None)]


def test_a_quoted_cell_may_contain_the_separator(folder: Path) -> None:
    (folder / "a,b.nii").touch()
    assert rows(folder, 'source,target\n"a,b.nii",d.nii\n') == [("a,b.nii", "d.nii", None)]


def test_unusable_rows_are_reported_by_line_and_the_others_are_read(folder: Path) -> None:
    path = folder / "list.csv"
    path.write_text("# pairs\nsource,target\na.nii.gz,b.nii.gz\na.nii.gz\n\na.nii.gz,lost.nii\nc.nii,d.nii\n")
    listed = read_file_list(path, required=("source", "target"))
    assert [row.line for row in listed.rows] == [3, 7]
    first, second = listed.problems
    assert "line 4 has no target" in first
    assert "line 6 names" in second
    assert "lost.nii" in second


def test_further_columns_need_a_heading(folder: Path) -> None:
    path = folder / "list.csv"
    path.write_text("a.nii.gz,b.nii.gz,m.nii.gz,c.nii\nc.nii,d.nii\n")
    listed = read_file_list(path, required=("source", "target"), optional=("mask",))
    assert [row.line for row in listed.rows] == [2]
    assert "line 1 has 4 columns" in listed.problems[0]


@pytest.mark.parametrize("data", [b"", b"source,target\n", b"# nothing\n", b"a.nii.gz\n", b"x.nii,y.nii\n"])
def test_a_list_without_a_usable_row_is_refused(folder: Path, data: bytes) -> None:
    (folder / "list.csv").write_bytes(data)
    with pytest.raises(UserError, match=r"has no usable row.*source,target\[,mask\]"):
        read_file_list(folder / "list.csv", required=("source", "target"), optional=("mask",))


def test_a_column_that_is_named_twice_is_refused(folder: Path) -> None:
    (folder / "list.csv").write_text("source,Source,target\na.nii.gz,b.nii.gz,b.nii.gz\n")
    with pytest.raises(UserError, match="has several columns source"):
        read_file_list(folder / "list.csv", required=("source", "target"))


@pytest.mark.parametrize("rows", ["source,target\n{}", "{}"], ids=["in a row", "in the heading"])
def test_a_cell_of_200_kilobytes_is_no_csv(folder: Path, rows: str) -> None:
    (folder / "list.csv").write_text(rows.format(f'"{"x" * 200_000}",b.nii.gz\n'))
    with pytest.raises(UserError, match=r"is no CSV file .*field limit") as refusal:
        read_file_list(folder / "list.csv", required=("source", "target"))
    assert len(str(refusal.value)) < 500


def test_a_folder_in_place_of_a_list_is_told_from_a_missing_one(folder: Path) -> None:
    with pytest.raises(UserError, match="is not a file; give a CSV file"):
        read_file_list(folder, required=("source",))


def test_a_missing_or_binary_list_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_file_list(folder / "none.csv", required=("source",))
    (folder / "binary.csv").write_bytes(b"\x1f\x8b\x00\x80,\x81\x00")
    with pytest.raises(UserError, match="no CSV file"):
        read_file_list(folder / "binary.csv", required=("source",))


def test_pairs_with_equal_file_names_get_distinct_names(tmp_path: Path) -> None:
    lines = []
    for subject in ("s1", "s2"):
        (tmp_path / subject).mkdir()
        for name in ("flair.nii.gz", "t1w.nii"):
            (tmp_path / subject / name).touch()
        lines.append(f"{subject}/flair.nii.gz,{subject}/t1w.nii")
    (tmp_path / "own.nii.gz").touch()
    (tmp_path / "pairs.csv").write_text("\n".join([*lines, lines[1], "own.nii.gz,s1/t1w.nii"]))
    pairs = read_pairs(tmp_path / "pairs.csv").pairs
    assert [pair.name for pair in pairs] == ["s1_flair", "s2_flair-2", "s2_flair-3", "own"]
    assert pairs[0].source == tmp_path / "s1" / "flair.nii.gz"
    assert pairs[0].brain is None
