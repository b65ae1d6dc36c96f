"""Lists of files in CSV with any common separator and encoding."""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..images.files import is_file

_SEPARATORS = ",;\t"
_COMMENT = "#"
_BIDS_SUBJECT = re.compile(r"(?:^|[/_])sub-([A-Za-z0-9]+)")
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class FileRow:
    """One row of a list: its line, and the paths and texts by column, without empty cells."""

    line: int
    paths: dict[str, Path]
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileList:
    """Usable rows of a list, and one sentence about each unusable row."""

    rows: list[FileRow]
    problems: list[str]


def read_file_list(
    path: Path, *, required: Sequence[str], optional: Sequence[str] = (), texts: Sequence[str] = ()
) -> FileList:
    """Read rows of paths, relative ones to the list's folder.

    A heading names the columns, in any order, capitals or not, among others that are ignored; without one the columns
    are the required ones, then the optional ones. Columns of `texts` are read as text, and need a heading. Commas,
    semicolons or tabs separate; blank lines and lines that start with # are skipped; UTF-8, UTF-16 and Latin-1 are
    understood.

    Raises:
        UserError: the list is missing, is no text, names a column twice, or has no usable row.
    """
    columns = (*required, *optional)
    form = f"rows {','.join(required)}" + "".join(f"[,{name}]" for name in optional)
    if not is_file(path):
        lack = "is not a file" if path.exists() else "does not exist"
        raise UserError(f"{path} {lack}; give a CSV file with {form}.")
    try:
        lines = list(_cells(_text(path, form)))
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file ({error}); give one with {form}.") from error
    heading = [cell.lower() for cell in lines[0][1]] if lines else []
    has_heading = set(required) <= set(heading)
    doubled = [name for name in (*columns, *texts) if has_heading and heading.count(name) > 1]
    if doubled:
        raise UserError(f"{path} has several columns {doubled[0]}; leave one of them.")
    rows, problems = [], []
    for line, cells in lines[has_heading:]:
        if not has_heading and len(cells) > len(columns):
            problems.append(f"line {line} has {len(cells)} columns where {form} are wanted; name them in a heading")
            continue
        named = dict(zip(heading if has_heading else columns, cells, strict=False))
        paths = {name: path.parent / named[name] for name in columns if named.get(name)}
        problem = _problem(paths, required)
        if problem:
            problems.append(f"line {line} {problem}")
        else:
            rows.append(FileRow(line, paths, {name: named[name] for name in texts if has_heading and named.get(name)}))
    if not rows:
        reason = f": {problems[0]}" if problems else ""
        raise UserError(f"{path} has no usable row{reason}; give {form}.")
    return FileList(rows, [f"{path.name}, {problem}" for problem in problems])


def bids_subject(path: Path) -> str | None:
    """Return the label of the BIDS entity `sub-` in a path; None where there is none."""
    found = _BIDS_SUBJECT.search(path.as_posix())
    return found[1] if found else None


def _problem(paths: dict[str, Path], required: Sequence[str]) -> str | None:
    missing = [name for name in required if name not in paths]
    if missing:
        return f"has no {' and no '.join(missing)}"
    # os.path.exists is false where nobody may look, too.
    lost = [str(each) for each in paths.values() if not os.path.exists(each)]
    return f"names {lost[0]}, which does not exist or may not be read" if lost else None


def _text(path: Path, form: str) -> str:
    data = path.read_bytes()
    encodings = ("utf-16",) if data.startswith(_UTF16_MARKS) else ("utf-8-sig", "latin-1")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise UserError(f"{path} is no CSV file; give one with {form}.")


def _cells(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line with cells, without empty cells at its end."""
    lines = text.splitlines()
    written = [line for line in lines if line.strip() and not line.lstrip().startswith(_COMMENT)]
    separator = max(_SEPARATORS, key=written[0].count) if written else ","
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith(_COMMENT):
            continue
        cells = [cell.strip() for row in csv.reader([line], delimiter=separator, skipinitialspace=True) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield number, cells
