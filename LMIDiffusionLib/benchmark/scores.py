"""Scores of a method on a pair: measures of whole slices, inside and outside the brain, and of the whole scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.files import atomic_path
from ..model.checkpoint import Checkpoint
from ..segmentation.classes import nearest_center, segment_tissues
from . import metrics
from .ground_truth import GroundTruth
from .metrics import Region

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
"""Measures of every region and their headings; the matched ones are taken after `metrics.tone_matched`."""
TISSUE_MEASURES = {"dice_csf": "CSF", "dice_gray": "Gray", "dice_white": "White"}
TARGET_TISSUE_MEASURES = {measure: f"target_{measure}" for measure in TISSUE_MEASURES}
"""Names for the same Dice of the true target's own classes, which is the Dice of a perfect translation."""
WHOLE, BRAIN, OUTSIDE = "", "brain_", "outside_"
"""Prefixes of the names of measures, by region."""
UNCERTAINTY_MEASURES = {
    "rms_error": "RMS error",
    "mean_expected": "Mean expected error",
    "coverage": "Within 2 expected",
    "error_rank": "Rank correlation",
}
"""Measures of the expected error, inside the brain or, without a mask, the head."""
_TABLE = "table "
_ERROR_SMOOTHING = 3.0  # millimeters
MEAN, TRUE_MEAN = "mean ", "true mean "
"""Prefixes of the names of mean intensities of parts of the brain, in the result and in the true target."""


@dataclass(frozen=True)
class PairScores:
    """Scores of one method on one pair.

    Attributes:
        pair: name of the pair.
        method: name of the method.
        indices: numbers of the scored axial slices, from the feet up.
        values: by measure, one value for each slice, NaN where a measure does not apply.
        scan: by measure, the value of the whole scan.
        seconds: of computation for each slice.
        images: the scored images, (N, H, W) in [0, 1].
        tables: of the expected error, as `reliability.error_tables` returns them; empty without one.
    """

    pair: str
    method: str
    indices: NDArray[np.int64]
    values: dict[str, metrics.SliceValues]
    scan: dict[str, float]
    seconds: float
    images: NDArray[np.float32]
    tables: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    def finite(self, measure: str) -> metrics.SliceValues:
        """Return the finite values of a measure: of the slices, of the scan, or none."""
        values = self.values.get(measure, np.array([self.scan.get(measure, np.nan)]))
        return values[np.isfinite(values)]

    def mean(self, measure: str) -> float:
        """Return the mean of a measure's finite values; NaN where there are none."""
        values = self.finite(measure)
        return float(values.mean()) if len(values) else float("nan")

    def write(self, path: Path) -> None:
        """Write the scores to a file, and the images with 8 bits for each pixel."""
        pictures = (self.images * 255).round().astype(np.uint8)
        arrays: dict[str, Any] = {**self.values, **self.scan}
        arrays |= {_TABLE + name: table for name, table in self.tables.items()}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays, indices=self.indices, seconds=self.seconds, images=pictures)

    @classmethod
    def read(cls, path: Path, pair: str, method: str) -> PairScores:
        """Read a file that `write` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        indices, seconds, pictures = (arrays.pop(name) for name in ("indices", "seconds", "images"))
        tables = {name.removeprefix(_TABLE): arrays.pop(name) for name in [*arrays] if name.startswith(_TABLE)}
        values = {name: array for name, array in arrays.items() if array.ndim}
        scan = {name: float(array) for name, array in arrays.items() if not array.ndim}
        return cls(pair, method, indices, values, scan, float(seconds), pictures.astype(np.float32) / 255, tables)


def score_slices(
    images: NDArray[np.float32],
    truth: GroundTruth,
    checkpoint: Checkpoint,
    *,
    expected: NDArray[np.float32] | None = None,
) -> tuple[dict[str, metrics.SliceValues], dict[str, float]]:
    """Score images against the ground truth: values of the slices and of the scan, as in `PairScores`.

    Args:
        images: (N, H, W) in [0, 1], the slices of the ground truth as a method translates them.
        truth: the ground truth.
        checkpoint: model with the centers of classes and tissues.
        expected: expected errors of the images, (N, H, W), if there are any.
    """
    comparison = _Comparison.from_images(images, truth, checkpoint)
    values, scan = comparison.measures(WHOLE, np.ones_like(truth.head))
    if len(images) > 1 and np.ptp(truth.indices) == len(images) - 1:
        values["flicker"] = metrics.flicker(images, truth.images)
    if expected is not None:
        sigma = _ERROR_SMOOTHING / checkpoint.pixel_size
        scan |= _uncertainty(images, truth.images, expected, truth.inner_region, sigma=sigma)
    if truth.brain is None or truth.outside is None:
        return values, scan
    for prefix, region in ((BRAIN, truth.brain), (OUTSIDE, truth.outside)):
        slice_values, scan_values = comparison.measures(prefix, region)
        values, scan = values | slice_values, scan | scan_values
    scan[f"{BRAIN}correlation"] = metrics.correlation(images, truth.images, truth.brain)
    for name, group in truth.groups.items():
        scan |= {MEAN + name: _mean(images[group]), TRUE_MEAN + name: _mean(truth.images[group])}
    return values | _tissue_dice(images, truth, checkpoint), scan


def _uncertainty(
    images: NDArray[np.float32],
    target: NDArray[np.float32],
    expected: NDArray[np.float32],
    region: Region,
    *,
    sigma: float,
) -> dict[str, float]:
    """Return how well the expected error tells the error, over the region of a scan."""
    error = np.square(images.astype(np.float64) - target)[region]
    return {
        "rms_error": float(np.sqrt(error.mean())) if len(error) else float("nan"),
        "mean_expected": _mean(expected[region]),
        "coverage": metrics.coverage(images, target, expected, region),
        "error_rank": metrics.error_rank_correlation(images, target, expected, region, sigma=sigma),
    }


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean()) if len(values) else float("nan")


@dataclass(frozen=True)
class _Comparison:
    """Images beside the ground truth, and the maps that measures of any region share."""

    images: NDArray[np.float32]
    truth: NDArray[np.float32]
    matched: NDArray[np.float32]
    similarity: NDArray[np.float64]
    matched_similarity: NDArray[np.float64]
    classes: NDArray[np.uint8]
    true_classes: NDArray[np.uint8]
    class_count: int

    @classmethod
    def from_images(cls, images: NDArray[np.float32], truth: GroundTruth, checkpoint: Checkpoint) -> _Comparison:
        matched = metrics.tone_matched(images, truth.images, truth.head)
        similarity, matched_similarity = (metrics.ssim_map(each, truth.images) for each in (images, matched))
        centers = checkpoint.centers(None)
        classes, true_classes = (nearest_center(each, centers) for each in (images, truth.images))
        return cls(images, truth.images, matched, similarity, matched_similarity, classes, true_classes, len(centers))

    def measures(self, prefix: str, region: Region) -> tuple[dict[str, metrics.SliceValues], dict[str, float]]:
        values = {
            "psnr": metrics.psnr(self.images, self.truth, region),
            "ssim": metrics.mean_over(self.similarity, region),
            "mae": metrics.mean_absolute_error(self.images, self.truth, region),
            "agreement": metrics.label_agreement(self.classes, self.true_classes, region),
            "macro_dice": metrics.macro_dice(self.classes, self.true_classes, region, classes=self.class_count),
            "matched_psnr": metrics.psnr(self.matched, self.truth, region),
            "matched_ssim": metrics.mean_over(self.matched_similarity, region),
        }
        gradient = metrics.gradient_energy(self.images, self.truth, region)
        return {prefix + name: each for name, each in values.items()}, {f"{prefix}gradient": gradient}


def _tissue_dice(
    images: NDArray[np.float32], truth: GroundTruth, checkpoint: Checkpoint
) -> dict[str, metrics.SliceValues]:
    """Return the Dice of tissues inside the brain against labels, or against the true target's own classes."""
    if checkpoint.tissue_centers is None or truth.brain is None:
        return {}
    found, target_tissues = (
        segment_tissues(each, checkpoint.tissue_centers, truth.brain).labels for each in (images, truth.images)
    )
    tissues = target_tissues if truth.tissues is None else truth.tissues
    values = {}
    for label, name in enumerate(TISSUE_MEASURES, 1):
        values[name] = metrics.dice(found, tissues, label)
        values[TARGET_TISSUE_MEASURES[name]] = metrics.dice(target_tissues, tissues, label)
    return values
