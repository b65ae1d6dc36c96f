"""Scores of methods on pairs of source and true target volumes, as `evaluate` and `benchmark quality` print them."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .. import metrics
from ..axial_slices import AxialGrid
from ..checkpoint import Checkpoint
from ..errors import UserError
from ..files import atomic_path, stem
from ..intensity import head_mask, to_unit_scale
from ..method import Method
from ..options import TranslationOptions
from ..progress import Progress
from ..segmentation import TISSUES, nearest_centre, segment_tissues
from ..source import SlicedSource
from ..translation import translate_slices
from ..volume import Volume, read_volume

CLASSES = 5
_MINIMUM_FOREGROUND = 0.1
MEASURES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "mae": "MAE",
    "agreement": "Agree",
    "macro_dice": "mDice",
    "flicker": "Flicker",
}
TISSUE_MEASURES = {"dice_csf": "CSF", "dice_grey": "Grey", "dice_white": "White"}
CEILINGS = {measure: f"target_{measure}" for measure in TISSUE_MEASURES}
"""The same Dice of the true target's own classes: what a perfect translation would score."""


@dataclass(frozen=True)
class Pair:
    """One source volume, the true target on the same grid, and optionally a brain mask or a map of tissues."""

    source: Path
    target: Path
    brain: Path | None

    @property
    def name(self) -> str:
        """How tables call the pair: the source's file name."""
        return stem(self.source)


@dataclass(frozen=True)
class SliceScores:
    """Scores of one method on one pair.

    Attributes:
        pair: its name.
        method: its name.
        values: by measure, a value a slice; NaN where a measure does not apply.
        seconds: of computation a slice.
        images: what was scored, (N, H, W) in [0, 1].
        truth: the true target, of the same shape.
    """

    pair: str
    method: str
    values: dict[str, metrics.Scores]
    seconds: float
    images: NDArray[np.float32]
    truth: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values["psnr"])


def read_pairs(path: Path) -> list[Pair]:
    """Rows source,target[,mask] of a CSV file, with or without a heading; relative paths start at the file's folder.

    Raises:
        UserError: the file is missing or a row has another form.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a CSV file with rows source,target[,mask].")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [[field.strip() for field in row] for row in csv.reader(file) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file; give one with rows source,target[,mask].") from error
    rows = [row for row in rows if row[:2] != ["source", "target"]]
    if not rows or any(len(row) not in (2, 3) for row in rows):
        raise UserError(f"{path} needs one or more rows source,target[,mask], and nothing else.")
    folder = path.parent
    return [
        Pair(folder / row[0], folder / row[1], folder / row[2] if len(row) == 3 and row[2] else None) for row in rows
    ]


def evaluate(
    pairs: list[Pair],
    methods: Mapping[str, Method],
    options: TranslationOptions,
    *,
    checkpoint: Checkpoint,
    every: int = 1,
    on_progress: Callable[[str, Progress], None] = lambda name, progress: None,
) -> Iterator[SliceScores]:
    """Score every method on each pair, on the grid and with the classes of a checkpoint.

    Only axial slices with at least 10 % of the true target's head count, and of those every `every`-th.

    Args:
        pairs: what to translate, and what should come of it.
        methods: by the names that the scores bear.
        options: of all methods.
        checkpoint: whose grid and classes they are.
        every: 1 for all slices, which flicker is measured on alone.
        on_progress: hears of the pair and method at work.

    Raises:
        UserError: a file cannot be used, or the volumes of a pair lie on different grids.
    """
    for pair in pairs:
        for name, method in methods.items():
            yield score_pair(pair, name, method, options, checkpoint=checkpoint, every=every, on_progress=on_progress)


def score_pair(
    pair: Pair,
    name: str,
    method: Method,
    options: TranslationOptions,
    *,
    checkpoint: Checkpoint,
    every: int = 1,
    on_progress: Callable[[str, Progress], None] = lambda name, progress: None,
) -> SliceScores:
    """As `evaluate`, of one pair and one method."""
    volume, target = read_volume(pair.source), read_volume(pair.target)
    _check_same_grid(pair.source, volume, pair.target, target)
    start = time.monotonic()
    source = SlicedSource.of(volume, pixel_size=checkpoint.pixel_size)
    preparing, grid = time.monotonic() - start, source.grid
    truth = to_unit_scale(target.array)
    heads = grid.slices(head_mask(truth)).mean((1, 2, 3))
    indices = [i for i in range(grid.slice_count) if heads[i] >= _MINIMUM_FOREGROUND][::every]
    if not indices:
        raise UserError(f"{pair.target} has no axial slice with a tenth of it head; give a volume of a head.")
    tissues = None if pair.brain is None else _tissues(pair, volume, grid)[indices]
    start = time.monotonic()
    batches = translate_slices(
        source, indices, method, options, on_progress=lambda progress: on_progress(f"{pair.name} {name}", progress)
    )
    images = torch.cat([batch.samples.mean(0)[:, 0] for batch in batches]).numpy()
    seconds = (preparing + time.monotonic() - start) / len(indices)
    true_slices = grid.slices(truth)[indices][:, 0].numpy()
    values = _scores(images, true_slices, tissues, checkpoint)
    if every == 1:
        values["flicker"] = metrics.flicker(images, true_slices)
    return SliceScores(pair.name, name, values, seconds, images, true_slices)


def _check_same_grid(path: Path, volume: Volume, other_path: Path, other: Volume) -> None:
    if not volume.shares_grid_with(other):
        raise UserError(f"{path} and {other_path} lie on different grids; register and resample one to the other.")


def _tissues(pair: Pair, source: Volume, grid: AxialGrid) -> NDArray[np.uint8]:
    """Labels 1 CSF, 2 grey, 3 white on the checkpoint's grid; 1 everywhere in the brain for a plain mask."""
    assert pair.brain is not None
    labels = read_volume(pair.brain)
    _check_same_grid(pair.brain, labels, pair.source, source)
    present = np.unique(labels.array)
    kinds = (1, 2, 3) if {1, 2, 3} <= set(present.tolist()) else (None,)
    shares = [grid.slices(labels.array != 0 if kind is None else labels.array == kind)[:, 0] for kind in kinds]
    stacked = torch.stack(shares).numpy()
    return np.where(stacked.sum(0) >= 0.5, stacked.argmax(0) + 1, 0).astype(np.uint8)


def _scores(
    images: NDArray[np.float32],
    truth: NDArray[np.float32],
    tissues: NDArray[np.uint8] | None,
    checkpoint: Checkpoint,
) -> dict[str, metrics.Scores]:
    classes, true_classes = (nearest_centre(each, checkpoint.class_centres[CLASSES]) for each in (images, truth))
    values = {
        "psnr": metrics.psnr(images, truth),
        "ssim": metrics.ssim(images, truth),
        "mae": metrics.mean_absolute_error(images, truth),
        "agreement": metrics.label_agreement(classes, true_classes),
        "macro_dice": metrics.macro_dice(classes, true_classes, classes=CLASSES),
    }
    if tissues is None or checkpoint.tissue_centres is None:
        return values
    found, of_target = (
        segment_tissues(each, checkpoint.tissue_centres, tissues > 0).labels for each in (images, truth)
    )
    if tissues.max() == 1:  # a plain mask: compare with the true target's own K-Means
        tissues = of_target
    for label, name in enumerate(TISSUE_MEASURES, 1):
        values[name] = metrics.dice(found, tissues, label)
        values[CEILINGS[name]] = metrics.dice(of_target, tissues, label)
    return values


def format_table(results: list[SliceScores]) -> str:
    """Mean and standard deviation over slices, for each pair and method, and over all pairs."""
    tissue = any("dice_csf" in result.values for result in results)
    measures = {**MEASURES, **(TISSUE_MEASURES if tissue else {})}
    pairs = list(dict.fromkeys(result.pair for result in results))
    methods = list(dict.fromkeys(result.method for result in results))
    width, method_width = max(map(len, [*pairs, "all 00 pairs"])), max(map(len, [*methods, "method"]))
    heading = "".join(f" {title:>13}" for title in measures.values())
    lines = [f"{'':{width}}  {'method':<{method_width}} {'slices':>6}" + heading]
    for name in [*pairs, None]:
        for method in methods:
            chosen = [r for r in results if r.method == method and name in (None, r.pair)]
            title = name if name is not None else f"all {len(pairs)} pairs"
            slices = sum(len(result) for result in chosen)
            cells = "".join(f" {mean_and_deviation(chosen, measure):>13}" for measure in measures)
            lines.append(f"{title:{width}}  {method:<{method_width}} {slices:>6}" + cells)
    if tissue:
        one_method = [result for result in results if result.method == methods[0]]
        lines.append(ceiling(one_method))
    return "\n".join(lines)


def ceiling(results: list[SliceScores]) -> str:
    """The sentence under a table with tissue columns, from the results of any one method."""
    scores = ", ".join(f"{mean_and_deviation(results, CEILINGS[measure])}" for measure in TISSUE_MEASURES)
    return (
        f"Tissue columns: Dice of {', '.join(TISSUES)} inside the brain mask."
        f" The true target's own classes would score {scores}."
    )


def mean_and_deviation(results: list[SliceScores], measure: str) -> str:
    """Mean and standard deviation of a measure over all slices of some results."""
    values = finite_values(results, measure)
    if not len(values):
        return "-"
    digits = 2 if measure == "psnr" else 3
    return f"{values.mean():.{digits}f} ±{values.std():.{digits}f}"


def finite_values(results: list[SliceScores], measure: str) -> metrics.Scores:
    """A measure of all slices of some results, but for those where it is infinite or does not apply."""
    values = np.concatenate([result.values.get(measure, np.empty(0)) for result in results])
    return values[np.isfinite(values)]


def write_csv(results: list[SliceScores], path: Path) -> None:
    """One row a pair, method and scored slice."""
    measures = [*MEASURES, *TISSUE_MEASURES]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["pair", "method", "slice", *measures])
        for result in results:
            for index in range(len(result)):
                scores = [result.values[m][index] if m in result.values else "" for m in measures]
                writer.writerow([result.pair, result.method, index, *scores])
