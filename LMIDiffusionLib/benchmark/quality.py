"""`benchmark quality`: scores of several methods on the same slices, in tables like the paper's.

Every pair and method is a job, whose scores are kept in a file. A benchmark that was stopped resumes with the missing
jobs. Jobs are distributed over devices and nodes. A job that fails is reported, and the others go on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..baselines.oracles import NoLabelsError
from ..errors import UserError
from ..images.files import atomic_path, write_text
from ..interface.progress import Progress
from ..model.checkpoint import Checkpoint
from ..model.devices import select_device
from ..runs.distributed import check_shared_device, failures_kept, kept_failure, launch, share
from ..runs.run_directory import open_work_folder
from ..translation.draws import ERROR_FACTOR
from .comparison import ComparisonOptions
from .comparison_sheet import save_comparison, save_curve, save_worst_cases
from .loaded_pair import LoadedPair
from .pairs import Pair
from .people import methods_of
from .registry import OURS, NamedMethod
from .reliability import error_tables, factor_sentence, save_reliability
from .scores import PairScores, score_slices
from .tables import BenchmarkReport, format_tables, write_people, write_scans, write_slices

# Increased whenever scores of the same name change their meaning, so that kept scores are not mixed with new ones.
_VERSION = 3


@dataclass(frozen=True, kw_only=True)
class QualityOptions(ComparisonOptions):
    """Choices of `lmidiffusion benchmark quality`; its `--help` explains them."""

    every: int = 1
    expected_error: bool = False
    devices: str = "auto"
    nodes: int = 1

    def settings(self) -> dict[str, Any]:
        """Return the choices that change the scores, as plain JSON types."""
        pairs = [[str(path and path.resolve()) for path in (p.source, p.target, p.brain)] for p in self.pairs]
        own = {"version": _VERSION, "pairs": pairs, "every": self.every, "expected_error": self.expected_error}
        return {**super().settings(), **own}


def run_quality_benchmark(options: QualityOptions) -> BenchmarkReport | None:
    """Score every method on every pair, skip kept scores, and write tables, CSV files and pictures.

    Returns:
        None in all processes but the first.

    Raises:
        UserError: a method cannot be used, the output holds another benchmark, or every pair failed.
    """
    check_shared_device(options.device)
    select_device(options.device)
    checkpoint, methods = options.load()
    open_work_folder(options.output, options.settings())
    jobs = [Job(index, pair, method, options) for index, pair in enumerate(options.pairs) for method in methods]
    fabric = launch(options.device, devices=options.devices, nodes=options.nodes)
    missing = [job for job in jobs if not job.is_done]
    fabric.barrier()  # no process begins before all have seen the same jobs missing
    own = share(missing, fabric)
    quiet = None if fabric.is_global_zero else True  # None: only where standard error is no terminal
    with tqdm(total=len(own), unit="job", disable=quiet) as bar:
        _JobRunner(fabric.device, checkpoint).run(own, bar=bar)
    fabric.barrier()
    return _report(jobs, checkpoint, options) if fabric.is_global_zero else None


@dataclass(frozen=True)
class Job:
    """One pair and one method."""

    index: int
    pair: Pair
    method: NamedMethod
    options: QualityOptions

    @property
    def path(self) -> Path:
        """File of the scores."""
        version = f"-{self.method.version}" if self.method.version else ""
        return self._file(f"-{self.method.title}{version}.npz")

    @property
    def truth_path(self) -> Path:
        """File of the pair's true slices, for the pictures."""
        return self._file(".ground-truth.npz")

    @property
    def failure_path(self) -> Path:
        """File of the reason for a failure: one line, then the traceback."""
        return self.path.with_suffix(".failed")

    @property
    def skipped_path(self) -> Path:
        """Empty file that marks a method as not applicable to its pair."""
        return self.path.with_suffix(".skipped")

    @property
    def is_done(self) -> bool:
        """True if the scores are kept or the method does not apply."""
        return self.path.exists() or self.skipped_path.exists()

    def _file(self, ending: str) -> Path:
        return self.options.output / f"{self.index:03d}-{self.pair.name}{ending}"

    def read(self) -> PairScores:
        """Read the kept scores."""
        return PairScores.read(self.path, self.pair.name, self.method.title)

    def read_ground_truth(self) -> NDArray[np.float32]:
        """Read the kept true slices, (N, H, W)."""
        with np.load(self.truth_path, allow_pickle=False) as file:
            return file["images"].astype(np.float32) / 255

    def failure(self) -> str:
        """Return one line with the job and the reason for its failure."""
        return f"{self.pair.name}, {self.method.title}: {kept_failure(self.failure_path)}"


class _JobRunner:
    """Runs jobs on the device of its process."""

    def __init__(self, device: torch.device, checkpoint: Checkpoint) -> None:
        self._device, self._checkpoint = device, checkpoint

    def run(self, jobs: Sequence[Job], *, bar: tqdm[Any]) -> None:
        """Run all jobs, grouped by pair; after a failure, go on with the next."""
        for _, group in itertools.groupby(jobs, lambda job: job.index):
            self._run_pair(list(group), bar)

    def _run_pair(self, jobs: list[Job], bar: tqdm[Any]) -> None:
        loaded = None
        with failures_kept(job.failure_path for job in jobs):
            loaded = self._load(jobs[0])
        for job in jobs:
            bar.set_description(f"{job.pair.name} {job.method.title}")
            if loaded is not None:
                with failures_kept([job.failure_path]):
                    self._keep_scores(job, loaded, bar)
            bar.update()

    def _keep_scores(self, job: Job, loaded: LoadedPair, bar: tqdm[Any]) -> None:
        try:
            self._score(job, loaded, bar).write(job.path)
        except NoLabelsError:
            job.skipped_path.touch()

    def _load(self, job: Job) -> LoadedPair:
        loaded = LoadedPair.from_pair(job.pair, pixel_size=self._checkpoint.pixel_size, every=job.options.every)
        with atomic_path(job.truth_path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, images=(loaded.truth.images * 255).round().astype(np.uint8))
        return loaded

    def _score(self, job: Job, loaded: LoadedPair, bar: tqdm[Any]) -> PairScores:
        indices = loaded.truth.indices

        def show(progress: Progress) -> None:
            bar.set_postfix_str(f"{progress.fraction:.0%}")

        start = time.monotonic()
        translated = loaded.translate(job.method, indices, self._device, on_progress=show)
        seconds = (time.monotonic() - start) / len(indices)
        expected = None
        if job.options.expected_error:
            expected = loaded.expected_error(job.method, indices, self._device, translated)
        truth, images = loaded.truth, translated.images
        values, scan = score_slices(images, truth, self._checkpoint, expected=expected)
        tables = {} if expected is None else error_tables(images, truth.images, expected, truth.inner_region)
        return PairScores(job.pair.name, job.method.title, np.array(indices), values, scan, seconds, images, tables)


def _report(jobs: list[Job], checkpoint: Checkpoint, options: QualityOptions) -> BenchmarkReport:
    """Write tables and pictures of the pairs that every method could translate."""
    failures = [job.failure() for job in jobs if not job.is_done]
    failed = {job.pair.name for job in jobs if not job.is_done}
    chosen = [job for job in jobs if job.pair.name not in failed and job.path.exists()]
    if not chosen:
        raise UserError(f"No pair could be scored by every method: {'; '.join(failures)}")
    results, pairs = [job.read() for job in chosen], [pair for pair in options.pairs if pair.name not in failed]
    write_slices(results, options.output / "scores.csv")
    write_scans(results, pairs, options.output / "scans.csv")
    write_people(results, pairs, options.output / "people.csv")
    costs = {job.method.title: job.method.cost for job in jobs}
    tables = format_tables(results, pairs, reference=OURS, costs=costs)
    own = [result for result in results if result.method == OURS and result.tables]
    if own:
        save_reliability(options.output / "reliability.png", own, pairs)
        tables += f"\n\n{factor_sentence(own, pairs, factor=ERROR_FACTOR)}"
    write_text(options.output / "tables.md", tables + "\n")
    truths = {job.pair.name: job.read_ground_truth() for job in chosen}
    save_comparison(options.output / "comparison.png", results, truths, checkpoint)
    save_curve(options.output / "curve.png", results, pairs)
    if OURS in methods_of(results):
        save_worst_cases(options.output / "worst.png", results, truths, checkpoint, method=OURS)
    return BenchmarkReport(tables, failures)
