"""`benchmark quality`: several methods on the same slices, in one table like the paper's.

Every pair and method is a job of its own, whose scores are kept in a file. A benchmark that was stopped goes on with
what is missing, and jobs are shared out over processes and nodes by Lightning.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from scipy.stats import wilcoxon
from torch.utils.data import DataLoader

from ..baselines import HistogramMatching, Identity, SDEdit
from ..checkpoint import Checkpoint, load_checkpoint
from ..diffusion import LMIDiffusion
from ..errors import UserError
from ..files import atomic_path
from ..method import Method
from ..options import TranslationOptions
from ..resources import checkpoint_path
from ..score_network import NetworkSettings
from ..training.slices import find_subjects, read_slices
from ..work_folder import open_work_folder
from .evaluation import (
    CEILINGS,
    CLASSES,
    MEASURES,
    TISSUE_MEASURES,
    Pair,
    SliceScores,
    ceiling,
    mean_and_deviation,
    score_pair,
    write_csv,
)
from .figures import save_comparison, save_curve, save_worst_cases

OURS = "lmidiffusion"
METHODS = ("identity", "histogram-matching", "sdedit-0.2", "sdedit-0.5", OURS)
_SDEDIT = re.compile(r"sdedit-(0\.\d+|1)")
# Without a condition, few steps give the mean of all heads.
_SDEDIT_STEPS = 25
# Ours with numbers of steps and samples, and a guidance weight, of its own, for curves of score against time.
_VARIANT = re.compile(rf"{OURS}-(\d+)x(\d+)(?:w(\d+(?:\.\d+)?))?")
# Ours with the weights and maps of another checkpoint.
_OTHER = re.compile(rf"{OURS}@(.+)")
# A paired test over fewer subjects cannot reach 0.05.
_LEAST_SUBJECTS = 6


@dataclass(frozen=True)
class QualityOptions:
    """What the user chooses; see `lmidiffusion benchmark quality --help`."""

    pairs: list[Pair]
    output: Path
    methods: list[str]
    checkpoint: str
    target_scans: Path | None
    every: int
    device: str
    devices: str
    nodes: int
    translation: TranslationOptions

    def settings(self) -> dict[str, Any]:
        """All that changes the scores."""
        return {
            "pairs": [[str(path and path.resolve()) for path in (p.source, p.target, p.brain)] for p in self.pairs],
            "checkpoint": _hash(self.checkpoint),
            "target_scans": str(self.target_scans and self.target_scans.resolve()),
            "every": self.every,
            "translation": dataclasses.asdict(self.translation),
        }


def _hash(checkpoint: str) -> str:
    return hashlib.sha256(checkpoint_path(checkpoint).read_bytes()).hexdigest()


def run_quality_benchmark(options: QualityOptions) -> str | None:
    """Score every method on every pair, or what is missing of that; write scores.csv and the pictures.

    Returns:
        The table; None in all processes but the first.

    Raises:
        UserError: a method or file cannot be used, or the output holds another benchmark.
    """
    if ":" in options.device:
        raise UserError(f"The device {options.device} is too narrow here; give --device cuda and --devices.")
    checkpoint = load_checkpoint(options.checkpoint)
    make_methods = {name: _method_maker(name, checkpoint, options) for name in options.methods}
    open_work_folder(options.output, options.settings())
    jobs = [Job(index, pair, method) for index, pair in enumerate(options.pairs) for method in options.methods]
    is_first_process = _score_missing(jobs, make_methods, checkpoint, options)
    if not is_first_process:
        return None
    results = [job.read(options.output) for job in jobs]
    write_csv(results, options.output / "scores.csv")
    save_comparison(options.output / "comparison.png", results, checkpoint)
    save_curve(options.output / "curve.png", results)
    if OURS in options.methods:
        save_worst_cases(options.output / "worst.png", results, checkpoint, method=OURS)
    return format_comparison(results, options.pairs)


def _score_missing(
    jobs: list[Job], make_methods: dict[str, MethodMaker], checkpoint: Checkpoint, options: QualityOptions
) -> bool:
    """Returns whether this is the first of all processes; no job is missing then any more."""
    missing = [job for job in jobs if not job.path(options.output).exists()]
    trainer = lightning.Trainer(
        accelerator=options.device,
        devices=options.devices,
        num_nodes=options.nodes,
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    with warnings.catch_warnings():
        # On purpose: a job is a number, and its result a file.
        for message in (".*does not have many workers.*", "predict returned None.*"):
            warnings.filterwarnings("ignore", message=message)
        scoring = JobScoring(missing, make_methods, checkpoint, options)
        trainer.predict(scoring, _loader(missing), return_predictions=False)
    trainer.strategy.barrier()
    return trainer.is_global_zero


def _loader(jobs: list[Job]) -> DataLoader[int]:
    numbers: Any = range(len(jobs))
    return DataLoader(numbers, batch_size=1)


@dataclass(frozen=True)
class Job:
    """One pair and one method."""

    index: int
    pair: Pair
    method: str

    def path(self, folder: Path) -> Path:
        """Where its scores are kept."""
        other = _OTHER.fullmatch(self.method)
        version = f"-{_hash(other[1])[:12]}" if other else ""
        return folder / f"{self.index:03d}-{self.pair.name}-{self.title}{version}.npz"

    @property
    def title(self) -> str:
        """How tables call the method: a checkpoint by its name, wherever it lies."""
        other = _OTHER.fullmatch(self.method)
        return f"{OURS}@{Path(other[1]).stem}" if other else self.method

    def write(self, folder: Path, scores: SliceScores) -> None:
        """Keep the scores; pictures with 8 bits a pixel."""
        pictures = {name: (getattr(scores, name) * 255).round().astype(np.uint8) for name in ("images", "truth")}
        arrays: dict[str, Any] = {**scores.values, **pictures, "seconds": scores.seconds}
        with atomic_path(self.path(folder)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    def read(self, folder: Path) -> SliceScores:
        """The scores that were kept."""
        with np.load(self.path(folder), allow_pickle=False) as file:
            values = {name: file[name] for name in (*MEASURES, *TISSUE_MEASURES, *CEILINGS.values()) if name in file}
            images, truth = (file[name].astype(np.float32) / 255 for name in ("images", "truth"))
            return SliceScores(self.pair.name, self.title, values, float(file["seconds"]), images, truth)


class JobScoring(lightning.LightningModule):
    """Does jobs, each on the device of the process that gets it."""

    def __init__(
        self, jobs: list[Job], make_methods: dict[str, MethodMaker], checkpoint: Checkpoint, options: QualityOptions
    ) -> None:
        super().__init__()
        self._jobs, self._make_methods = jobs, make_methods
        self._checkpoint, self._options = checkpoint, options

    def predict_step(self, batch: torch.Tensor, batch_index: int) -> None:
        """Do the jobs of these numbers."""
        for number in batch.tolist():
            job = self._jobs[number]
            method, translation = self._make_methods[job.method](self.device)
            scores = score_pair(
                job.pair, job.title, method, translation, checkpoint=self._checkpoint, every=self._options.every
            )
            job.write(self._options.output, scores)


MethodMaker = Callable[[torch.device], tuple[Method, TranslationOptions]]


def _method_maker(name: str, checkpoint: Checkpoint, options: QualityOptions) -> MethodMaker:
    translation, once = options.translation, dataclasses.replace(options.translation, samples=1)
    if name == OURS:
        return lambda device: (LMIDiffusion(checkpoint, device=device), translation)
    if name == "identity":
        return lambda device: (Identity(), once)
    if name == "histogram-matching":
        matching = _histogram_matching(checkpoint, options.target_scans)
        return lambda device: (matching, once)
    if match := _OTHER.fullmatch(name):
        other = _comparable(match[1], checkpoint)
        return lambda device: (LMIDiffusion(other, device=device), translation)
    if match := _VARIANT.fullmatch(name):
        guidance = float(match[3] or translation.guidance)
        variant = dataclasses.replace(translation, steps=int(match[1]), samples=int(match[2]), guidance=guidance)
        return lambda device: (LMIDiffusion(checkpoint, device=device), variant)
    if match := _SDEDIT.fullmatch(name):
        start, longer = float(match[1]), dataclasses.replace(translation, steps=translation.steps or _SDEDIT_STEPS)
        return lambda device: (SDEdit(checkpoint, device=device, start=start), longer)
    raise UserError(
        f"There is no method {name}; choose of {', '.join(METHODS)}, {OURS}-STEPSxSAMPLES[wGUIDANCE],"
        f" {OURS}@CHECKPOINT, or sdedit-T with T in (0, 1]."
    )


def _comparable(name: str, checkpoint: Checkpoint) -> Checkpoint:
    """Another checkpoint whose slices and classes are those of the first."""
    other = load_checkpoint(name)
    if other.pixel_size != checkpoint.pixel_size or not np.allclose(
        other.class_centres[CLASSES], checkpoint.class_centres[CLASSES], atol=1e-3
    ):
        raise UserError(
            f"{name} has other pixels or classes than --checkpoint, so their scores cannot be compared;"
            " benchmark it by itself."
        )
    return other


def _histogram_matching(checkpoint: Checkpoint, folder: Path | None) -> HistogramMatching:
    if folder is None:
        raise UserError("Histogram matching needs --target-scans, a folder of target-modality scans of other subjects.")
    subjects = find_subjects(folder, modality=checkpoint.modality, brain_suffix="mask")
    slices = read_slices(subjects, pixel_size=checkpoint.pixel_size, stride=NetworkSettings().stride)
    return HistogramMatching().fit(slices.images())


def format_comparison(results: list[SliceScores], pairs: list[Pair]) -> str:
    """One row a method: mean and standard deviation over all slices, and how it differs from ours over subjects."""
    methods = list(dict.fromkeys(result.method for result in results))
    subjects = len({pair.target for pair in pairs})
    slices = sum(len(result) for result in results if result.method == methods[0])
    has_tissues = any("dice_csf" in result.values for result in results)
    measures = {**MEASURES, **(TISSUE_MEASURES if has_tissues else {})}
    width = max(map(len, methods))
    heading = "".join(f" {title:>13}" for title in measures.values())
    lines = [f"{subjects} subjects, {len(pairs)} pairs, {slices} slices", f"{'':{width}}{heading} {'s/slice':>8}"]
    for method in methods:
        chosen = [result for result in results if result.method == method]
        cells = "".join(f" {mean_and_deviation(chosen, measure):>13}" for measure in measures)
        seconds = sum(r.seconds * len(r) for r in chosen) / slices
        lines.append(f"{method:{width}}{cells} {seconds:>8.3f}")
    if has_tissues:
        lines.append(ceiling([result for result in results if result.method == methods[0]]))
    return "\n".join([*lines, *_comparisons(results, pairs, measures, width)])


def _comparisons(results: list[SliceScores], pairs: list[Pair], measures: dict[str, str], width: int) -> Iterator[str]:
    methods = list(dict.fromkeys(result.method for result in results))
    if OURS not in methods or len({pair.target for pair in pairs}) < _LEAST_SUBJECTS:
        return
    yield f"p of Wilcoxon's paired test against {OURS}, over subjects:"
    ours = {measure: _subject_means(results, pairs, OURS, measure) for measure in measures}
    for method in methods:
        if method == OURS:
            continue
        cells = []
        for measure in measures:
            difference = _subject_means(results, pairs, method, measure) - ours[measure]
            difference = difference[np.isfinite(difference)]
            enough = np.count_nonzero(difference) >= _LEAST_SUBJECTS
            cells.append(f" {wilcoxon(difference).pvalue if enough else np.nan:>13.2g}")
        yield f"{method:{width}}" + "".join(cells)


def _subject_means(results: list[SliceScores], pairs: list[Pair], method: str, measure: str) -> np.ndarray[Any, Any]:
    """Mean of each subject's finite slices; pairs with one target are of one subject."""
    chosen = [result for result in results if result.method == method]
    means = []
    for target in dict.fromkeys(pair.target for pair in pairs):
        values = [
            r.values[measure] for r, p in zip(chosen, pairs, strict=True) if p.target == target and measure in r.values
        ]
        joined = np.concatenate(values) if values else np.array([np.nan])
        joined = joined[np.isfinite(joined)]
        means.append(joined.mean() if len(joined) else np.nan)
    return np.array(means)
