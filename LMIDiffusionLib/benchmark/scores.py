"""What a method scores on a pair: measures of whole slices, inside the brain and outside it, and of the whole scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.files import atomic_path
from ..model.checkpoint import Checkpoint
from ..segmentation.classes import nearest_centre, segment_tissues
from . import metrics
from .ground_truth import Truth
from .metrics import Region

CLASSES = 5
MEASURES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "mae": "MAE",
    "agreement": "Agree",
    "macro_dice": "mDice",
    "matched_psnr": "PSNR matched",
    "matched_ssim": "SSIM matched",
    "gradient": "Gradient",
}
"""Measures of every region, and what tables call them; the matched ones are taken after `metrics.tone_matched`."""
TISSUE_MEASURES = {"dice_csf": "CSF", "dice_grey": "Grey", "dice_white": "White"}
CEILINGS = {measure: f"target_{measure}" for measure in TISSUE_MEASURES}
"""The same Dice of the true target's own classes: what a perfect translation would score."""
WHOLE, BRAIN, OUTSIDE = "", "brain_", "outside_"
"""What the names of measures begin with in each region."""
MEAN, TRUE_MEAN = "mean ", "true mean "
"""What the names of mean intensities of a part of the brain begin with, in the result and in the true target."""


@dataclass(frozen=True)
class Scores:
    """Scores of one method on one pair.

    Attributes:
        pair: its name.
        method: its name.
        indices: the scored axial slices, from the feet up.
        values: by measure, a value a slice, NaN where a measure does not apply.
        scan: by measure, the value of the whole scan.
        seconds: of computation a slice.
        images: what was scored, (N, H, W) in [0, 1].
    """

    pair: str
    method: str
    indices: NDArray[np.int64]
    values: dict[str, metrics.Scores]
    scan: dict[str, float]
    seconds: float
    images: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indices)

    def of(self, measure: str) -> metrics.Scores:
        """A measure's finite values: of slices, of the scan, or none."""
        values = self.values.get(measure, np.array([self.scan.get(measure, np.nan)]))
        return values[np.isfinite(values)]

    def write(self, path: Path) -> None:
        """Keep them in a file; pictures with 8 bits a pixel."""
        pictures = (self.images * 255).round().astype(np.uint8)
        arrays: dict[str, Any] = {**self.values, **self.scan}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays, indices=self.indices, seconds=self.seconds, images=pictures)

    @classmethod
    def read(cls, path: Path, pair: str, method: str) -> Scores:
        """What `write` kept."""
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        indices, seconds, pictures = (arrays.pop(name) for name in ("indices", "seconds", "images"))
        values = {name: array for name, array in arrays.items() if array.ndim}
        scan = {name: float(array) for name, array in arrays.items() if not array.ndim}
        return cls(pair, method, indices, values, scan, float(seconds), pictures.astype(np.float32) / 255)


def measured(
    images: NDArray[np.float32], truth: Truth, checkpoint: Checkpoint
) -> tuple[dict[str, metrics.Scores], dict[str, float]]:
    """Values of slices and of the scan, for `Scores`.

    Args:
        images: (N, H, W) in [0, 1], of the truth's slices.
        truth: what they should be.
        checkpoint: whose classes and tissues intensities are sorted into.
    """
    comparison = _Comparison.of(images, truth, checkpoint)
    values, scan = comparison.measures(WHOLE, np.ones_like(truth.head))
    if len(images) > 1 and np.ptp(truth.indices) == len(images) - 1:
        values["flicker"] = metrics.flicker(images, truth.images)
    if truth.brain is None or truth.outside is None:
        return values, scan
    for prefix, region in ((BRAIN, truth.brain), (OUTSIDE, truth.outside)):
        inside, of_scan = comparison.measures(prefix, region)
        values, scan = values | inside, scan | of_scan
    scan[f"{BRAIN}correlation"] = metrics.correlation(images, truth.images, truth.brain)
    for name, group in truth.groups.items():
        scan |= {MEAN + name: _mean(images[group]), TRUE_MEAN + name: _mean(truth.images[group])}
    return values | _tissue_dice(images, truth, checkpoint), scan


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean()) if len(values) else float("nan")


@dataclass(frozen=True)
class _Comparison:
    """Images and truth, and what measures of any region need of them."""

    images: NDArray[np.float32]
    truth: NDArray[np.float32]
    matched: NDArray[np.float32]
    similarity: NDArray[np.float64]
    matched_similarity: NDArray[np.float64]
    classes: NDArray[np.uint8]
    true_classes: NDArray[np.uint8]

    @classmethod
    def of(cls, images: NDArray[np.float32], truth: Truth, checkpoint: Checkpoint) -> _Comparison:
        matched = metrics.tone_matched(images, truth.images, truth.head)
        similarity, matched_similarity = (metrics.ssim_map(each, truth.images) for each in (images, matched))
        classes, true_classes = (
            nearest_centre(each, checkpoint.class_centres[CLASSES]) for each in (images, truth.images)
        )
        return cls(images, truth.images, matched, similarity, matched_similarity, classes, true_classes)

    def measures(self, prefix: str, region: Region) -> tuple[dict[str, metrics.Scores], dict[str, float]]:
        values = {
            "psnr": metrics.psnr(self.images, self.truth, region),
            "ssim": metrics.mean_over(self.similarity, region),
            "mae": metrics.mean_absolute_error(self.images, self.truth, region),
            "agreement": metrics.label_agreement(self.classes, self.true_classes, region),
            "macro_dice": metrics.macro_dice(self.classes, self.true_classes, region, classes=CLASSES),
            "matched_psnr": metrics.psnr(self.matched, self.truth, region),
            "matched_ssim": metrics.mean_over(self.matched_similarity, region),
        }
        gradient = metrics.gradient_energy(self.images, self.truth, region)
        return {prefix + name: each for name, each in values.items()}, {f"{prefix}gradient": gradient}


def _tissue_dice(images: NDArray[np.float32], truth: Truth, checkpoint: Checkpoint) -> dict[str, metrics.Scores]:
    """Dice of the tissues inside the brain; without labels of them, with the true target's own classes."""
    if checkpoint.tissue_centres is None or truth.brain is None:
        return {}
    found, of_target = (
        segment_tissues(each, checkpoint.tissue_centres, truth.brain).labels for each in (images, truth.images)
    )
    tissues = of_target if truth.tissues is None else truth.tissues
    values = {}
    for label, name in enumerate(TISSUE_MEASURES, 1):
        values[name] = metrics.dice(found, tissues, label)
        values[CEILINGS[name]] = metrics.dice(of_target, tissues, label)
    return values
