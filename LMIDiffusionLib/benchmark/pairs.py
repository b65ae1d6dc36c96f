"""Pairs of scans that a benchmark scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..images.files import stem
from ..runs.file_lists import read_file_list


@dataclass(frozen=True)
class Pair:
    """A source volume, the true target on the same grid, and optionally a map of the brain.

    Attributes:
        name: unique name in tables.
        source: file of any contrast.
        target: file of the target modality.
        brain: file of a brain mask, a map of tissues (1 CSF, 2 grey matter, 3 white matter), or labels of DLMUSE.
    """

    name: str
    source: Path
    target: Path
    brain: Path | None


@dataclass(frozen=True)
class PairList:
    """Usable pairs, and one sentence about every other row."""

    pairs: list[Pair]
    problems: list[str]


def read_pairs(path: Path) -> PairList:
    """Read rows source,target[,mask] of a CSV file in the form of `read_file_list`.

    Raises:
        UserError: the file is missing or has no usable row.
    """
    listed = read_file_list(path, required=("source", "target"), optional=("mask",))
    sources = [row.paths["source"] for row in listed.rows]
    pairs = [
        Pair(name, row.paths["source"], row.paths["target"], row.paths.get("mask"))
        for name, row in zip(_names(sources), listed.rows, strict=True)
    ]
    return PairList(pairs, listed.problems)


def _names(paths: list[Path]) -> list[str]:
    """Return file names without ending; equal names get their folder, and then a number."""
    names = [stem(path) for path in paths]
    names = _with_longer(names, [f"{path.parent.name}_{name}" for path, name in zip(paths, names, strict=True)])
    return _with_longer(names, [f"{name}-{number}" for number, name in enumerate(names, 1)])


def _with_longer(names: list[str], longer: list[str]) -> list[str]:
    """Replace every name that occurs more than once by its longer form."""
    counts = Counter(names)
    return [other if counts[name] > 1 else name for name, other in zip(names, longer, strict=True)]
