"""`benchmark downstream`: Dice of a segmentation tool on translations against the same tool on the true target.

The tool, any command of the user's, runs on the source, on translations and on the true target. Its label maps are
kept, so that a benchmark that was stopped resumes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..baselines.oracles import Oracle
from ..errors import UserError
from ..images.files import write_csv, write_text
from ..images.masks import read_labels
from ..images.normalization import to_unit_scale
from ..images.volume import read_volume, write_volume
from ..interface.events import failure
from ..model.checkpoint import Checkpoint
from ..model.devices import select_device
from ..runs.run_directory import open_work_folder
from ..translation.scan_pipeline import ScanSettings, translate_scan
from .comparison import ComparisonOptions
from .ground_truth import read_tissues
from .pairs import Pair
from .people import headline_pairs
from .registry import NamedMethod
from .tables import BenchmarkReport, markdown

SOURCE = "source"
"""Name of the untranslated scan in tables."""
_INPUT, _OUTPUT = "{input}", "{output}"
_EXCERPT_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class DownstreamOptions(ComparisonOptions):
    """Choices of `lmidiffusion benchmark downstream`; its `--help` explains them."""

    tool: str

    def settings(self) -> dict[str, Any]:
        """Return the choices that change the results, as plain JSON types."""
        pairs = [[str(path.resolve()) for path in (pair.source, pair.target)] for pair in self.pairs]
        return {**super().settings(), "pairs": pairs, "tool": self.tool}


@dataclass(frozen=True)
class LabelDice:
    """Dice overlap 2 |A and B| / (|A| + |B|) of one label over all voxels."""

    pair: str
    method: str
    label: int
    dice: float


def run_downstream_benchmark(options: DownstreamOptions) -> BenchmarkReport:
    """Run the tool on all pairs, skip kept label maps, and write dice.csv and tables.md.

    Raises:
        UserError: the tool or a method cannot be used, the output holds another benchmark, or every run failed.
    """
    tool = Tool.from_template(options.tool)
    device = select_device(options.device)
    checkpoint, methods = options.load()
    open_work_folder(options.output, options.settings())
    comparison = _Comparison(options.output, tool, methods, checkpoint, device)
    for number, pair in enumerate(tqdm(options.pairs, unit="pair", disable=None)):
        comparison.add(number, pair)
    if not comparison.scores:
        raise UserError(f"Every run failed: {'; '.join(comparison.failures)}")
    rows = map(dataclasses.astuple, comparison.scores)
    write_csv(options.output / "dice.csv", [("pair", "method", "label", "dice"), *rows])
    tables = format_dice(comparison.scores, options.pairs)
    write_text(options.output / "tables.md", tables + "\n")
    return BenchmarkReport(tables, comparison.failures)


@dataclass(frozen=True)
class Tool:
    """A command with placeholders for the paths of its input and its output."""

    arguments: tuple[str, ...]

    @classmethod
    def from_template(cls, template: str) -> Tool:
        """Split a command as a shell would.

        Raises:
            UserError: its quotes do not match, a placeholder is missing, or there is no such program.
        """
        try:
            arguments = tuple(shlex.split(template, posix=os.name == "posix"))
        except ValueError as error:
            raise UserError(f"The tool {template} cannot be split into words ({error}); check its quotes.") from error
        if not all(any(placeholder in each for each in arguments) for placeholder in (_INPUT, _OUTPUT)):
            raise UserError(f"The tool {template} lacks {_INPUT} or {_OUTPUT}; write where the paths go.")
        if shutil.which(arguments[0]) is None:
            raise UserError(f"There is no program {arguments[0]}; install it or give its path.")
        return cls(arguments)

    def run(self, image: Path, labels: Path) -> None:
        """Write the label map of an image, unless the file exists.

        Raises:
            UserError: the tool failed or wrote nothing; its output is in a log beside the label map.
        """
        if labels.exists():
            return
        labels.parent.mkdir(exist_ok=True)
        log = labels.with_name(labels.name + ".log")
        with tempfile.TemporaryDirectory(prefix=".tool-", dir=labels.parent) as folder:
            written = Path(folder) / labels.name  # a new name: some tools refuse to overwrite a file
            paths = {_INPUT: str(image.resolve()), _OUTPUT: str(written.resolve())}
            command = [_fill(argument, paths) for argument in self.arguments]
            with log.open("w", encoding="utf-8") as output:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
            if done.returncode or not written.exists():
                what = f"ended with status {done.returncode}" if done.returncode else "wrote no label map"
                raise UserError(f"the tool {what} ({_last_line(log)}); see {log}")
            written.replace(labels)
        log.unlink()


def _fill(argument: str, paths: dict[str, str]) -> str:
    for place, path in paths.items():
        argument = argument.replace(place, path)
    return argument


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][-_EXCERPT_LENGTH:] if lines else "it printed nothing"


class _Comparison:
    """Runs the tool pair by pair.

    Attributes:
        scores: Dice of all runs that succeeded.
        failures: one line for each failed run.
    """

    def __init__(
        self, output: Path, tool: Tool, methods: list[NamedMethod], checkpoint: Checkpoint, device: torch.device
    ) -> None:
        self._output, self._tool, self._methods = output, tool, methods
        self._checkpoint, self._device = checkpoint, device
        self._true_labels: dict[Path, Path] = {}
        self.scores: list[LabelDice] = []
        self.failures: list[str] = []

    def add(self, number: int, pair: Pair) -> None:
        """Compare the source and every method's translation with the true target."""
        folder = self._output / f"{number:03d}-{pair.name}"
        # Pairs with one target share its label map.
        true_labels = self._true_labels.setdefault(pair.target, folder / "target-labels.nii.gz")
        reference = None
        with self._record_failures(f"{pair.name}, true target"):
            self._tool.run(pair.target, true_labels)
            reference = read_labels(true_labels, read_volume(pair.target))
        if reference is None:
            return
        for method in (None, *self._methods):
            title = SOURCE if method is None else method.title
            with self._record_failures(f"{pair.name}, {title}"):
                image = pair.source if method is None else self._translated(pair, method, folder)
                labels = folder / f"{image.name.split('.nii')[0] if method else SOURCE}-labels.nii.gz"
                self._tool.run(image, labels)
                found = read_labels(labels, read_volume(pair.target))
                self.scores += _dice(found, reference, pair.name, title)

    @contextlib.contextmanager
    def _record_failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.failures.append(f"{what}: {failure(error).message}")

    def _translated(self, pair: Pair, method: NamedMethod, folder: Path) -> Path:
        """Return the file of a method's translation; translate unless it exists."""
        version = f"-{method.version}" if method.version else ""
        path = folder / f"{method.title}{version}.nii.gz"
        if not path.exists():
            folder.mkdir(exist_ok=True)
            source = read_volume(pair.target if method.sees_target else pair.source)
            translator, options = method.make(self._device)
            if isinstance(translator, Oracle):
                target = read_volume(pair.target)
                tissues = None if pair.brain is None else read_tissues(pair.brain, target)
                translator.fit(to_unit_scale(source.array), to_unit_scale(target.array), tissues)
            settings = ScanSettings(self._checkpoint, options)
            write_volume(path, translate_scan(source, translator, settings).volume)
        return path


def _dice(found: NDArray[np.int64], reference: NDArray[np.int64], pair: str, method: str) -> Iterator[LabelDice]:
    counts, true_counts, common = (
        dict(zip(*(each.tolist() for each in np.unique(labels, return_counts=True)), strict=True))
        for labels in (found, reference, reference[found == reference])
    )
    for label in sorted({*counts, *true_counts} - {0}):
        overlap = 2 * common.get(label, 0) / (counts.get(label, 0) + true_counts.get(label, 0))
        yield LabelDice(pair, method, label, overlap)


def format_dice(scores: Sequence[LabelDice], pairs: Sequence[Pair]) -> str:
    """Format means and standard deviations over people: one row for each label, one column for each method.

    Pairs are averaged to people; simulations, atlases and pairs used for choices stand in dice.csv alone, unless there
    is nothing else.
    """
    counted = headline_pairs([pair for pair in pairs if pair.name in {each.pair for each in scores}])
    subjects = {pair.name: pair.subject for pair in counted}
    own = [each for each in scores if each.pair in subjects]
    methods = list(dict.fromkeys(each.method for each in own))
    rows = []
    for label in sorted({each.label for each in own}):
        by_method = ([each for each in own if (each.method, each.label) == (method, label)] for method in methods)
        rows.append([str(label), *(_cell(chosen, subjects) for chosen in by_method)])
    rows.append(["people", *(str(len({subjects[s.pair] for s in own if s.method == method})) for method in methods)])
    title = "Dice of the tool's labels with its own on the true target; mean ± standard deviation over people"
    return "\n".join([title, "", *markdown(["label", *methods], rows)])


def _cell(scores: Sequence[LabelDice], subjects: Mapping[str, str]) -> str:
    by_subject: dict[str, list[float]] = {}
    for each in scores:
        by_subject.setdefault(subjects[each.pair], []).append(each.dice)
    means = [np.mean(values) for values in by_subject.values()]
    return f"{np.mean(means):.3f} ± {np.std(means):.3f}" if means else "-"
