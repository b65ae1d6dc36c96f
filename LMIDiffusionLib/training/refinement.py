"""`refine`: a checkpoint that goes on learning from a few people whose source and target both exist.

Each batch holds as many copies in random contrasts as real pairs, so that the network forgets little. A first training
finds the number of steps after which held-out slices are translated best; nothing is written if no number is better
than none. A second one takes as many steps on all slices.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from .. import __version__
from ..errors import UserError
from ..images.files import check_output
from ..images.planes import PLANES
from ..interface.checkpoint_header import SUFFIX
from ..interface.resources import checkpoint_hash
from ..model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .augmentation import AUGMENTATIONS
from .augmentation.random_streams import SliceDraws
from .data.data_module import NumberedData
from .data.pairs import PairBatch, PairBatches, PairFiles, PairSlices, PersonSlices, batch_of, read_pair
from .lightning_module import ScoreTraining, scheduled
from .muon import MuonAdamW
from .options import FitOptions
from .record import digest
from .trainer import fit_module, make_trainer, mean_psnr, spread

_WARM_UP_STEPS = 10
_STEPS_PER_SCORE = 20
_HELD_OUT_SLICES = 24
_PATIENCE = 3
"""Scores in a row without a gain after which the training ends."""


@dataclass(frozen=True)
class RefinementOptions:
    """Settings of a refinement.

    Attributes:
        checkpoint: name or path of the start.
        source: name of the source's contrast, for the header.
        steps: optimizer steps at most.
        learning_rate: largest of the schedule.
        seed: of all that is random.
        overwrite: replace an existing file.
    """

    checkpoint: str
    source: str
    steps: int = 120
    learning_rate: float = 5e-4
    seed: int = 0
    overwrite: bool = False


@dataclass(frozen=True)
class RefinementResult:
    """Outcome of a refinement: PSNR in dB of the held-out slices before and after, and the steps that were kept."""

    held_out: str
    before: float
    after: float
    steps: int


def refine(pairs: Sequence[PairFiles], output: Path, options: RefinementOptions) -> RefinementResult:
    """Refine a checkpoint on pairs, and write it.

    With two people or more the last one is held out to find the number of steps, with one all slices of another plane.

    Args:
        pairs: aligned pairs.
        output: file of the refined checkpoint.
        options: of the refinement.

    Raises:
        UserError: the output exists, a pair cannot be used, or the refined checkpoint would be no better on the
            held-out slices; nothing is written then.
    """
    check_output(output, overwrite=options.overwrite, endings=(SUFFIX,))
    start = load_checkpoint(options.checkpoint)
    split = _split(pairs, start)
    fit = FitOptions(steps=options.steps, steps_per_epoch=min(_STEPS_PER_SCORE, options.steps), devices="1")
    fit = dataclasses.replace(fit, learning_rate=options.learning_rate, seed=options.seed)
    judge = HeldOutJudge(split.held_out)
    _train(start, split.training, fit, judge)
    if judge.best_step == 0:
        raise UserError(
            f"The refined checkpoint would be no better: {judge.last:.2f} dB on {split.name}, {judge.before:.2f} dB"
            " before; nothing was written. Give more people, and look whether the pairs lie on each other."
        )
    result = RefinementResult(split.name, judge.before, judge.best, judge.best_step)
    last = WeightsAtStep(judge.best_step)
    _train(start, split.everything, fit, last)
    record = {"refined": _record(pairs, options, result), "start": start.provenance.recipe}
    provenance = dataclasses.replace(
        start.provenance,
        training_data=_training_data(start, pairs, options),
        training_steps=start.provenance.training_steps + result.steps,
        library_version=__version__,
        recipe=record,
    )
    save_checkpoint(dataclasses.replace(start, weights=last.weights, provenance=provenance), output)
    return result


@dataclass(frozen=True)
class _Split:
    """Slices to find the number of steps with, those that are held out meanwhile, what these are, and all slices."""

    training: list[PersonSlices]
    held_out: list[PairSlices]
    name: str
    everything: list[PersonSlices]


def _split(pairs: Sequence[PairFiles], start: Checkpoint) -> _Split:
    """Hold out the last of several people, or one person's slices of the last plane that allows it."""
    people: dict[str, list[PersonSlices]] = {}
    for files in pairs:
        people.setdefault(files.subject, []).append(read_pair(files, start, tuple(PLANES)))
    names = [*people]
    known = [*start.planes]
    everything = _in_planes([scan for scans in people.values() for scan in scans], known)
    if len(names) > 1:
        held_out = [part for scan in _in_planes(people[names[-1]], known) for part in scan.values()]
        training = _in_planes([scan for name in names[:-1] for scan in people[name]], known)
        return _Split(training, held_out, "the last person", everything)
    scans = people[names[0]]
    for plane in reversed(PLANES):
        others = [each for each in known if each != plane]
        apart = [scan[plane] for scan in scans if plane in scan]
        if apart and others and all(set(others) & set(scan) for scan in scans):
            return _Split(_in_planes(scans, others), apart, f"{plane} slices", everything)
    raise UserError("One person is refined with slices of two planes, and these scans have one; give a second person.")


def _train(start: Checkpoint, people: Sequence[PersonSlices], fit: FitOptions, callback: Callback) -> None:
    """Train a copy of a checkpoint's network on slices of people, until the steps or the callback end it."""
    lightning.seed_everything(fit.seed, verbose=False)
    batches = PairBatches(people, batch_size=fit.batch_size, stride=start.network.stride, seed=fit.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(Path(folder), fit, [callback])
        data = NumberedData(lambda rank, ranks: batches, [batches[0]], fit)
        fit_module(trainer, Refinement(start, fit), data, None)


def _in_planes(scans: Sequence[PersonSlices], planes: Sequence[str]) -> list[PersonSlices]:
    return [{plane: part for plane, part in scan.items() if plane in planes} for scan in scans]


def _training_data(start: Checkpoint, pairs: Sequence[PairFiles], options: RefinementOptions) -> str:
    people = len({files.subject for files in pairs})
    return (
        f"no longer zero-shot: refined on {options.source} and {start.modality} of {people}"
        f" {'person' if people == 1 else 'people'}; before: {start.provenance.training_data}"
    )


def _record(pairs: Sequence[PairFiles], options: RefinementOptions, result: RefinementResult) -> dict[str, Any]:
    files = [path for pair in pairs for path in (pair.source, pair.target)]
    return {
        **dataclasses.asdict(options),
        "checkpoint": Path(options.checkpoint).name,
        "checkpoint_sha256": checkpoint_hash(options.checkpoint),
        "files": {path.name: digest(path) for path in files},
        "result": dataclasses.asdict(result),
    }


class Refinement(ScoreTraining):
    """Trains a checkpoint's network on batches of pairs."""

    def __init__(self, start: Checkpoint, fit: FitOptions) -> None:
        super().__init__(
            network=start.network,
            condition=start.condition,
            sde=start.sde,
            augmentation=AUGMENTATIONS[fit.contrast],
            fit=fit,
        )
        self.network.load_state_dict({name: weight.float() for name, weight in start.weights.items()})

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return Muon and AdamW with the schedule of the rate."""
        optimizer = MuonAdamW([*self.parameters()], self.fit_options.learning_rate)
        return scheduled(optimizer, self.fit_options.steps, warm_up=_WARM_UP_STEPS)

    def changed(self, batch: PairBatch, draws: SliceDraws) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return moved targets and their sources: real ones first, then copies in random contrasts."""
        parts = [type(batch.slices)(*(each[where] for each in batch.slices)) for where in _halves(batch)]
        sources, size = batch.sources[: batch.real], batch.pixels.size
        real = self.augmentation.with_sources(parts[0], sources, draws, pixel_size=size)
        drawn = self.augmentation(parts[1], draws)
        return torch.cat([real[0], drawn[0]]), torch.cat([real[1], drawn[1]])

    def validation_step(self, batch: PairBatch, batch_index: int) -> None:  # type: ignore[override]
        """Do nothing: the held-out slices are scored by `HeldOutJudge`."""


def _halves(batch: PairBatch) -> tuple[slice, slice]:
    return slice(None, batch.real), slice(batch.real, None)


class HeldOutJudge(Callback):
    """Scores held-out slices after every validation, and ends a training without gains.

    Attributes:
        before: PSNR in dB of the start; 0 before the training begins.
        best: the best PSNR, and `last` the last.
        best_step: optimizer steps of the best; 0 while none was better than the start.
    """

    def __init__(self, held_out: Sequence[PairSlices]) -> None:
        """
        Args:
            held_out: slices that are not trained on.
        """
        self._parts, self._failures = held_out, 0
        self.before = self.best = self.last = 0.0
        self.best_step = 0

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Score the weights of the start."""
        self.before = self.best = self.last = self._score(module)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Score the averaged weights, which are in place."""
        self.last = self._score(module)
        print(f"Step {trainer.global_step}: {self.last:.2f} dB on held-out slices, {self.before:.2f} dB before")
        if self.last > self.best:
            self.best, self.best_step, self._failures = self.last, trainer.global_step, 0
            return
        self._failures += 1
        trainer.should_stop = self._failures >= _PATIENCE

    def _score(self, module: lightning.LightningModule) -> float:
        """Return the mean PSNR of evenly spread slices, each translated in one step from noise."""
        assert isinstance(module, Refinement)
        share = max(1, _HELD_OUT_SLICES // len(self._parts))
        scores = []
        for part in self._parts:
            chosen = spread(torch.arange(len(part.sources)), share).tolist()
            batch = batch_of([part] * len(chosen), chosen, stride=module.network.settings.stride, real=len(chosen))
            estimate = module.estimate(batch.sources.to(module.device), batch.pixels.size)
            scores.append(mean_psnr(estimate.cpu(), batch.slices.images))
        return float(torch.stack(scores).mean())


class WeightsAtStep(Callback):
    """Ends a training after a number of steps, and keeps the averaged weights.

    Attributes:
        weights: the averaged weights; empty before that step.
    """

    def __init__(self, step: int) -> None:
        """
        Args:
            step: number of optimizer steps, after which a validation comes.
        """
        self._step = step
        self.weights: dict[str, Tensor] = {}

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Keep the averaged weights, which are in place, once the step is reached."""
        if trainer.global_step >= self._step:
            assert isinstance(module, Refinement)
            self.weights = copy.deepcopy(module.network.state_dict())
            trainer.should_stop = True
