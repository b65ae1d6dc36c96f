"""Comparison sheets: slices of several methods side by side, in the manner of the paper's figure 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..images.files import atomic_path
from ..images.rendering import Colors, compose, gray, overlay, save_image, to_picture
from ..model.checkpoint import Checkpoint
from ..segmentation.classes import nearest_center
from .pairs import Pair
from .people import headline_pairs, methods_of, subject_means
from .scores import PairScores

_ROWS = 6
_ENLARGEMENT, _CLOSE_UP = 2, 4
_TARGET = "true target"
_FRAME = (0.45, 0.4, 0.1)
_CURVES = {"psnr": "PSNR [dB]", "ssim": "SSIM", "agreement": "label agreement", "macro_dice": "macro Dice"}
_MARKERS = "os^Dv"

GroundTruths = Mapping[str, NDArray[np.float32]]
"""True slices (N, H, W) by name of the pair."""
Row = tuple[str, int, list[Colors]]
"""Name of a row, the factor that enlarges its pictures, and the pictures."""


def save_comparison(path: Path, results: list[PairScores], truths: GroundTruths, checkpoint: Checkpoint) -> None:
    """Save the middle scored slice of the first pairs: every method and the true target, close-ups, and classes."""
    chosen = [(pair, len(slices) // 2) for pair, slices in list(truths.items())[:_ROWS]]
    _save(path, results, truths, chosen, checkpoint)


def save_worst_cases(
    path: Path, results: list[PairScores], truths: GroundTruths, checkpoint: Checkpoint, *, method: str
) -> None:
    """Save the slice of every pair where a method has its lowest PSNR, the worst pairs first."""
    own = [result for result in results if result.method == method]
    worst = [(float(result.values["psnr"].min()), result.pair, int(result.values["psnr"].argmin())) for result in own]
    _save(path, results, truths, [(pair, index) for _, pair, index in sorted(worst)[:_ROWS]], checkpoint)


def save_curve(path: Path, results: list[PairScores], pairs: Sequence[Pair]) -> None:
    """Plot the mean scores over people of every method against its seconds per slice."""
    from matplotlib.figure import Figure

    methods, counted = methods_of(results), headline_pairs(pairs)
    figure = Figure(figsize=(13, 7), layout="constrained")
    for axes, (measure, title) in zip(figure.subplots(2, 2).flat, _CURVES.items(), strict=True):
        for number, method in enumerate(methods):
            own = [result for result in results if result.method == method]
            slices = sum(len(result) for result in own)
            seconds = sum(result.seconds * len(result) for result in own) / slices
            marker = _MARKERS[number // 10 % len(_MARKERS)]  # the colors repeat after ten
            axes.plot(seconds, np.nanmean(subject_means(own, counted, method, measure)), marker, label=method)
        axes.set(xscale="log", xlabel="seconds a slice", ylabel=title)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def _save(
    path: Path, results: list[PairScores], truths: GroundTruths, chosen: list[tuple[str, int]], checkpoint: Checkpoint
) -> None:
    methods = methods_of(results)
    images = {(result.pair, result.method): result.images for result in results}
    rows: list[Row] = []
    for pair, index in chosen:
        truth = truths[pair][index]
        slices = [*(images[pair, m][index] if (pair, m) in images else np.zeros_like(truth) for m in methods), truth]
        rows += comparison_rows(f"{pair} ({index})", slices, checkpoint)
    save_sheet(path, [*methods, _TARGET], rows)


def comparison_rows(name: str, slices: Sequence[NDArray[np.float32]], checkpoint: Checkpoint) -> list[Row]:
    """Return three rows for slices (H, W) in [0, 1]: the slices, their close-ups, and their K-Means classes."""
    upright = [np.rot90(each) for each in slices]
    return [
        (name, _ENLARGEMENT, [_framed(each) for each in upright]),
        ("close-up", _CLOSE_UP, [gray(each[_middle(each)]) for each in upright]),
        ("classes", _ENLARGEMENT, [_classes(each, checkpoint) for each in upright]),
    ]


def _middle(image: NDArray[np.float32]) -> tuple[slice, slice]:
    """Return the middle of an image, half as wide and half as high."""
    top, left = image.shape[0] // 4, image.shape[1] // 4
    return slice(top, top + image.shape[0] // 2), slice(left, left + image.shape[1] // 2)


def _framed(image: NDArray[np.float32]) -> Colors:
    """Return an image in gray with a frame around the part that the close-up shows."""
    colors = gray(image)
    middle = colors[_middle(image)]
    for edge in (middle[0], middle[-1], middle[:, 0], middle[:, -1]):
        edge[:] = _FRAME
    return colors


def _classes(image: NDArray[np.float32], checkpoint: Checkpoint) -> Colors:
    return overlay(image, nearest_center(image, checkpoint.centers(None)))


def save_sheet(path: Path, titles: Sequence[str], rows: Sequence[Row]) -> None:
    """Draw rows of pictures under the titles of their columns."""
    pictures = [
        [to_picture(each, (each.shape[1] * factor, each.shape[0] * factor)) for each in row] for _, factor, row in rows
    ]
    save_image(path, compose(pictures, titles=titles, names=[name for name, _, _ in rows]))
