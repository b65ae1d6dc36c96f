"""Pairs of scans that a benchmark scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import UserError
from ..images.files import stem
from ..runs.file_lists import FileRow, bids_subject, read_file_list

Kind = Literal["person", "simulation", "atlas"]
_YES, _NO = ("yes", "true", "1", "*"), ("no", "false", "0")


@dataclass(frozen=True)
class Pair:
    """A source volume, the true target on the same grid, and optionally a map of the brain.

    Attributes:
        name: unique name in tables.
        source: file of any contrast.
        target: file of the target modality.
        brain: file of a brain mask, a map of tissues (1 CSF, 2 gray matter, 3 white matter), or labels of DLMUSE.
        subject: identity of the person, the simulation or the atlas; statistics count every subject once.
        group: name of the set that the pair belongs to, for a table of sets; empty for none.
        kind: person, atlas or simulation; only people enter headline tables.
        choosing: True if the pair was used to choose settings, which keeps it out of headline tables.
    """

    name: str
    source: Path
    target: Path
    brain: Path | None
    subject: str
    group: str = ""
    kind: Kind = "person"
    choosing: bool = False

    @property
    def marked_name(self) -> str:
        """The name with a mark for simulations, atlases, and pairs that were used for choices (*)."""
        return self.name + "*" * self.choosing + ("" if self.kind == "person" else f" ({self.kind})")


@dataclass(frozen=True)
class PairList:
    """Usable pairs, and one sentence about every other row."""

    pairs: list[Pair]
    problems: list[str]


def read_pairs(path: Path) -> PairList:
    """Read rows source,target[,mask] of a CSV file in the form of `read_file_list`.

    A heading may also name the columns `subject`, `set`, `kind` (person, simulation or atlas) and `choosing` (yes or
    no). Without a subject the BIDS entity `sub-` of the target's path names it, else the target's folder.

    Raises:
        UserError: the file is missing or has no usable row, or a kind or a choice is unknown.
    """
    listed = read_file_list(
        path, required=("source", "target"), optional=("mask",), texts=("subject", "set", "kind", "choosing")
    )
    names = _names([row.paths["source"] for row in listed.rows])
    return PairList([_pair(name, row, path) for name, row in zip(names, listed.rows, strict=True)], listed.problems)


def _pair(name: str, row: FileRow, path: Path) -> Pair:
    kind, choosing = row.texts.get("kind", "person").lower(), row.texts.get("choosing", "no").lower()
    if kind not in get_args(Kind):
        raise UserError(f"{path.name}, line {row.line} has the kind {kind}; give {', '.join(get_args(Kind))}.")
    if choosing not in (*_YES, *_NO):
        raise UserError(f"{path.name}, line {row.line} has {choosing} under choosing; give yes or no.")
    target = row.paths["target"]
    return Pair(
        name,
        row.paths["source"],
        target,
        row.paths.get("mask"),
        subject=row.texts.get("subject") or bids_subject(target) or str(target.resolve().parent),
        group=row.texts.get("set", ""),
        kind=kind,  # type: ignore[arg-type]
        choosing=choosing in _YES,
    )


def _names(paths: list[Path]) -> list[str]:
    """Return file names without ending; equal names get their folder, and then a number."""
    names = [stem(path) for path in paths]
    names = _with_longer(names, [f"{path.parent.name}_{name}" for path, name in zip(paths, names, strict=True)])
    return _with_longer(names, [f"{name}-{number}" for number, name in enumerate(names, 1)])


def _with_longer(names: list[str], longer: list[str]) -> list[str]:
    """Replace every name that occurs more than once by its longer form."""
    counts = Counter(names)
    return [other if counts[name] > 1 else name for name, other in zip(names, longer, strict=True)]
