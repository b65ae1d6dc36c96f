"""Scores of real pairs in the course of a training that never sees them: a table in a CSV file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ..errors import UserError
from ..images.volume import read_volume
from ..runs.file_lists import read_file_list
from ..translation.sliced_volume import SlicedVolume
from .lightning_module import ScoreTraining
from .options import DataOptions
from .trainer import mean_psnr

_SLICES = 4
_MIDDLE = 1.4  # millimeters, of a size between the ends


@dataclass(frozen=True)
class _Pair:
    """Slices of a pair on pixels of one size, (B, 1, H, W) each."""

    name: str
    pixel_size: float
    source: SlicedVolume
    indices: list[int]
    target: Tensor


class PairScoring(Callback):
    """Scores a few axial slices of pairs, translated in one step from noise, after every validation (PSNR, SSIM)."""

    def __init__(self, pairs: Path, path: Path, reading: DataOptions) -> None:
        """
        Args:
            pairs: CSV file of rows source,target, relative to its folder.
            path: of the table, which gets more rows.
            reading: tells the pixel sizes that the network knows.

        Raises:
            UserError: a file cannot be used.
        """
        self._path = path
        sizes = sorted({reading.finest_pixel_size, min(_MIDDLE, reading.pixel_size), reading.pixel_size})
        listed = read_file_list(pairs, required=("source", "target"))
        for problem in listed.problems:
            print(f"{pairs}: {problem}")
        self._pairs = [
            found for row in listed.rows for found in _opened(row.paths["source"], row.paths["target"], sizes)
        ]

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Add a row for each pair and pixel size."""
        if not trainer.is_global_zero:
            return
        assert isinstance(module, ScoreTraining)
        rows = [(trainer.global_step, pair.name, pair.pixel_size, *_scores(pair, module)) for pair in self._pairs]
        is_new = not self._path.exists()
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["step", "pair", "pixel_size", "psnr", "ssim"])
            writer.writerows((step, name, size, f"{psnr:.3f}", f"{ssim:.4f}") for step, name, size, psnr, ssim in rows)


def _opened(source: Path, target: Path, sizes: list[float]) -> list[_Pair]:
    volume, truth = read_volume(source), read_volume(target)
    if volume.array.shape != truth.array.shape:
        raise UserError(f"{source} and {target} lie on different grids; give pairs on one grid.")
    found = []
    for size in sizes:
        sliced, targets = (SlicedVolume.from_volume(each, pixel_size=size) for each in (volume, truth))
        voxel = min(*sliced.grid.plane_spacing)
        if size < 0.95 * voxel and size != max(sizes):
            continue
        heads = sliced.head_slices()
        places = np.linspace(0.25, 0.8, _SLICES) * (len(heads) - 1)
        indices = [heads[int(place)] for place in places]
        found.append(_Pair(source.name, size, sliced, indices, targets.slices[indices]))
    return found


def _scores(pair: _Pair, module: ScoreTraining) -> tuple[float, float]:
    from skimage.metrics import structural_similarity

    padded = pair.source.padded(pair.indices, stride=module.network.settings.stride).to(module.device)
    images = pair.source.with_air(module.estimate(padded, pair.pixel_size), pair.indices)
    ssim = [
        structural_similarity(one[0].numpy(), two[0].numpy(), data_range=1, gaussian_weights=True, sigma=1.5)
        for one, two in zip(images, pair.target, strict=True)
    ]
    return float(mean_psnr(images, pair.target)), float(np.mean(ssim))
