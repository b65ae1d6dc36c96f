"""Random tone curves, which change the contrast of whole training slices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .random_streams import Draws


@dataclass(frozen=True)
class ToneCurves:
    """Random piecewise linear tone curves.

    Attributes:
        points: control points of a curve, air not counted.
        flatness: largest share by which a curve is drawn to one level, as tissues differ little in PDw scans.
        unchanged: share of copies that keep the target's contrast.
    """

    points: int = 5
    flatness: float = 0.0
    unchanged: float = 0.3

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Map each of the slices (B, 1, H, W) in [0, 1] by a curve of its own, about a rising or a falling line.

        Air stays dark, as in every MR contrast.
        """
        points = self.points
        values, line, share_of_line, air = (
            draws.uniform(images, count, 1, 1).flatten(1) for count in (points, 1, 1, 1)
        )
        level, flatness = draws.uniform(images, 2, 1, 1).flatten(1).split(1, 1)
        rising = torch.arange(1, points + 1, device=images.device) / points
        values = torch.lerp(values, torch.where(line < 0.5, rising, rising.flip(0)), share_of_line)
        values = torch.lerp(values, level, self.flatness * flatness)
        curve = torch.cat([0.1 * air * values[:, :1], values], 1)
        position = images.flatten(1) * points
        lower = position.floor().clamp(0, points - 1).long()
        share = position - lower
        # The first segment is steep: intensities from a quarter of it on belong to tissue.
        share = torch.where(lower == 0, (4 * share).clamp(max=1), share)
        start, end = curve.gather(1, lower), curve.gather(1, lower + 1)
        toned = (start + share * (end - start)).view_as(images)
        unchanged = draws.uniform(images, 1, 1, 1) < self.unchanged
        return torch.where(unchanged, images, toned)
