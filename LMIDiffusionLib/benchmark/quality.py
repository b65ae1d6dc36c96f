"""`benchmark quality`: several methods on the same slices, in tables like the paper's.

Every pair and method is a job of its own, whose scores are kept in a file. A benchmark that was stopped goes on with
what is missing; jobs are shared out over devices and nodes; one that fails is named, and the rest goes on.
"""

from __future__ import annotations

import dataclasses
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

from ..errors import UserError
from ..images.files import atomic_path
from ..interface.progress import Progress
from ..interface.resources import DEFAULT_CHECKPOINT, checkpoint_hash
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.devices import select_device
from ..runs.distributed import check_shared_device, failures_kept, kept_failure, launch, share
from ..runs.run_directory import open_work_folder
from ..translation.options import TranslationOptions
from .comparison_sheet import save_comparison, save_curve, save_worst_cases
from .loaded_pair import OpenPair
from .pairs import Pair
from .registry import OURS, NamedMethod, Setup, find_method
from .scores import Scores, measured
from .tables import Report, format_tables, methods_of, write_scans, write_slices

# Raised whenever scores of the same name come to mean something else: kept ones are then no longer used.
_VERSION = 2


@dataclass(frozen=True)
class QualityOptions:
    """What the user chooses; see `lmidiffusion benchmark quality --help`."""

    pairs: list[Pair]
    output: Path
    methods: list[str]
    checkpoint: str = DEFAULT_CHECKPOINT
    target_scans: Path | None = None
    every: int = 1
    device: str = "auto"
    devices: str = "auto"
    nodes: int = 1
    translation: TranslationOptions = TranslationOptions()

    def settings(self) -> dict[str, Any]:
        """All that changes the scores."""
        return {
            "version": _VERSION,
            "pairs": [[str(path and path.resolve()) for path in (p.source, p.target, p.brain)] for p in self.pairs],
            "checkpoint": checkpoint_hash(self.checkpoint),
            "target_scans": str(self.target_scans and self.target_scans.resolve()),
            "every": self.every,
            "translation": dataclasses.asdict(self.translation),
        }


def run_quality_benchmark(options: QualityOptions) -> Report | None:
    """Score every method on every pair, or what is missing of that; write tables, CSV files and pictures.

    Returns:
        None in all processes but the first.

    Raises:
        UserError: a method cannot be used, the output holds another benchmark, or every pair failed.
    """
    check_shared_device(options.device)
    select_device(options.device)
    checkpoint = load_checkpoint(options.checkpoint)
    setup = Setup(checkpoint, options.translation, options.target_scans)
    methods = [find_method(name, setup) for name in options.methods]
    open_work_folder(options.output, options.settings())
    jobs = [Job(index, pair, method, options) for index, pair in enumerate(options.pairs) for method in methods]
    fabric = launch(options.device, devices=options.devices, nodes=options.nodes)
    missing = [job for job in jobs if not job.path.exists()]
    fabric.barrier()  # nobody begins before everybody has seen the same jobs missing
    own = share(missing, fabric)
    quiet = None if fabric.is_global_zero else True  # None: only where standard error is no terminal
    with tqdm(total=len(own), unit="job", disable=quiet) as bar:
        _Worker(fabric.device, checkpoint).do(own, bar=bar)
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
        """Where its scores are kept."""
        version = f"-{self.method.version}" if self.method.version else ""
        return self._file(f"-{self.method.title}{version}.npz")

    @property
    def truth_path(self) -> Path:
        """Where the true slices of its pair are kept, for the pictures."""
        return self._file(".truth.npz")

    @property
    def failure_path(self) -> Path:
        """Where the reason is kept if it fails: a line, and what a programmer needs."""
        return self.path.with_suffix(".failed")

    def _file(self, ending: str) -> Path:
        return self.options.output / f"{self.index:03d}-{self.pair.name}{ending}"

    def read(self) -> Scores:
        """The scores that were kept."""
        return Scores.read(self.path, self.pair.name, self.method.title)

    def read_truth(self) -> NDArray[np.float32]:
        """The true slices that were kept, (N, H, W)."""
        with np.load(self.truth_path, allow_pickle=False) as file:
            return file["images"].astype(np.float32) / 255

    def failure(self) -> str:
        """One line: what failed and why."""
        return f"{self.pair.name}, {self.method.title}: {kept_failure(self.failure_path)}"


class _Worker:
    """Does jobs on the device of its process."""

    def __init__(self, device: torch.device, checkpoint: Checkpoint) -> None:
        self._device, self._checkpoint = device, checkpoint

    def do(self, jobs: Sequence[Job], *, bar: tqdm[Any]) -> None:
        """Do all jobs, those of one pair after one another; where one fails, go on with the next."""
        for _, group in itertools.groupby(jobs, lambda job: job.index):
            self._do_pair(list(group), bar)

    def _do_pair(self, jobs: list[Job], bar: tqdm[Any]) -> None:
        opened = None
        with failures_kept(job.failure_path for job in jobs):
            opened = self._open(jobs[0])
        for job in jobs:
            bar.set_description(f"{job.pair.name} {job.method.title}")
            if opened is not None:
                with failures_kept([job.failure_path]):
                    self._score(job, opened, bar).write(job.path)
            bar.update()

    def _open(self, job: Job) -> OpenPair:
        opened = OpenPair.of(job.pair, pixel_size=self._checkpoint.pixel_size, every=job.options.every)
        with atomic_path(job.truth_path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, images=(opened.truth.images * 255).round().astype(np.uint8))
        return opened

    def _score(self, job: Job, opened: OpenPair, bar: tqdm[Any]) -> Scores:
        indices = opened.truth.indices

        def show(progress: Progress) -> None:
            bar.set_postfix_str(f"{progress.fraction:.0%}")

        start = time.monotonic()
        images = opened.drawn(job.method, indices, self._device, on_progress=show)
        seconds = (time.monotonic() - start) / len(indices)
        values, scan = measured(images, opened.truth, self._checkpoint)
        return Scores(job.pair.name, job.method.title, np.array(indices), values, scan, seconds, images)


def _report(jobs: list[Job], checkpoint: Checkpoint, options: QualityOptions) -> Report:
    """Write what the kept scores say of the pairs that every method could translate."""
    failures = [job.failure() for job in jobs if not job.path.exists()]
    failed = {job.pair.name for job in jobs if not job.path.exists()}
    chosen = [job for job in jobs if job.pair.name not in failed]
    if not chosen:
        raise UserError(f"No pair could be scored by every method: {'; '.join(failures)}")
    results, pairs = [job.read() for job in chosen], [pair for pair in options.pairs if pair.name not in failed]
    write_slices(results, options.output / "scores.csv")
    write_scans(results, options.output / "scans.csv")
    costs = {job.method.title: job.method.cost for job in jobs}
    tables = format_tables(results, pairs, reference=OURS, costs=costs)
    with atomic_path(options.output / "tables.md") as temporary:
        temporary.write_text(tables + "\n", encoding="utf-8")
    truths = {job.pair.name: job.read_truth() for job in chosen}
    save_comparison(options.output / "comparison.png", results, truths, checkpoint)
    save_curve(options.output / "curve.png", results)
    if OURS in methods_of(results):
        save_worst_cases(options.output / "worst.png", results, truths, checkpoint, method=OURS)
    return Report(tables, failures)
