"""Random changes of training slices, on the device, from one stream of draws.

`spatial` changes the target slice itself; `contrast` makes the copy of it whose LMI maps condition the network, so that
the maps of any contrast look familiar to it. Both see target-modality slices only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .draws import SliceDraws

_BLUR_REACH = 3  # pixels on each side


@dataclass(frozen=True)
class Augmentation:
    """How far slices are changed.

    Attributes:
        unmoved: share of slices that are at most mirrored, and thus keep their sharpness.
        rotation: largest angle in degrees.
        scaling: largest relative change of size, each axis on its own.
        translation: largest shift, as a share of the slice.
        skull_stripping: share of slices reduced to their brain.
        tone_points: control points of the random tone curve, air not counted.
        flatness: largest share by which a curve is drawn to one level, as tissues differ little in PDw scans.
        unchanged_tone: share of copies that keep the target's contrast.
        bias_field: largest relative change of intensity over the slice.
        noise: largest standard deviation of added noise.
        blur: largest standard deviation of the Gaussian blur, in pixels.
        thickness: largest standard deviation of a further blur along one axis, in pixels, as thick slices of another
            orientation have it; half the copies have some.
    """

    unmoved: float = 0.4
    rotation: float = 8.0
    scaling: float = 0.08
    translation: float = 0.04
    skull_stripping: float = 0.35
    tone_points: int = 5
    flatness: float = 0.0
    unchanged_tone: float = 0.3
    bias_field: float = 0.2
    noise: float = 0.01
    blur: float = 0.6
    thickness: float = 0.0

    def spatial(self, images: Tensor, brains: Tensor, gains: Tensor, draws: SliceDraws) -> Tensor:
        """Flip, rotate, scale and shift slices (B, 1, H, W) and reduce some to their brain (B, 1, H, W).

        A slice reduced to its brain is multiplied by its gain (B, 1, 1, 1), because the intensity scale of a
        brain-only volume is that of its brain.
        """
        grid = functional.affine_grid(self._affine(images, draws), list(images.shape), align_corners=False)
        # Linear interpolation would smooth the slices, and teach the network to draw smooth ones.
        moved = functional.grid_sample(images, grid, mode="bicubic", align_corners=False).clamp(0, 1)
        moved_brains = functional.grid_sample(brains, grid, align_corners=False)
        grown = functional.max_pool2d(moved_brains, 3, stride=1, padding=1)
        chance = draws.uniform(images, 2, 1, 1)
        brain = torch.where(chance[:, 1:] < 0.5, moved_brains, grown) > 0.5
        # A slice below the brain would be left empty.
        has_brain = brain.float().mean((2, 3), keepdim=True) > 0.02
        stripped = (chance[:, :1] < self.skull_stripping) & has_brain
        return torch.where(stripped, (gains * moved * brain).clamp(max=1), moved)

    def contrast(self, images: Tensor, draws: SliceDraws) -> Tensor:
        """A copy of slices (B, 1, H, W) in [0, 1] in a random contrast, with a random bias field, blur and noise."""
        toned = self._tone(images, draws)
        biased = toned * self._bias(images, draws)
        blurred = self._blur(biased, draws)
        level = self.noise * draws.uniform(images, 1, 1, 1)
        return (blurred + level * draws.normal(images, *images.shape[1:])).clamp(0, 1)

    def _affine(self, images: Tensor, draws: SliceDraws) -> Tensor:
        moved = draws.uniform(images, 1, 1, 1) >= self.unmoved
        amounts = moved * (2 * draws.uniform(images, 5, 1, 1) - 1)
        angle, scale_y, scale_x, shift_y, shift_x = amounts.flatten(1).unbind(1)
        flip = torch.where(draws.uniform(images, 1, 1, 1).flatten() < 0.5, -1.0, 1.0)
        angle = angle * math.radians(self.rotation)
        aspect = images.shape[-2] / images.shape[-1]
        rows = (1 + self.scaling * scale_y) * flip
        columns = 1 + self.scaling * scale_x
        # affine_grid has x along the columns and both axes in [-1, 1]: a rotation shears unless the aspect is put in.
        first = torch.stack([angle.cos() * columns, -angle.sin() * aspect * rows, 2 * self.translation * shift_x], 1)
        second = torch.stack([angle.sin() / aspect * columns, angle.cos() * rows, 2 * self.translation * shift_y], 1)
        return torch.stack([first, second], 1)

    def _tone(self, images: Tensor, draws: SliceDraws) -> Tensor:
        """A piecewise linear curve through random points about a rising or a falling line.

        Air stays dark, as in every MR contrast.
        """
        points = self.tone_points
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
        unchanged = draws.uniform(images, 1, 1, 1) < self.unchanged_tone
        return torch.where(unchanged, images, toned)

    def _bias(self, images: Tensor, draws: SliceDraws) -> Tensor:
        coarse = 2 * draws.uniform(images, 1, 3, 3) - 1
        field = functional.interpolate(coarse, size=list(images.shape[-2:]), mode="bicubic", align_corners=True)
        return (self.bias_field * field).exp()

    def _blur(self, images: Tensor, draws: SliceDraws) -> Tensor:
        sigma = self.blur * draws.uniform(images, 1, 1, 1).flatten().expand(2, -1)
        if self.thickness > 0:
            thickness, rows_or_columns = draws.uniform(images, 2, 1, 1).flatten(1).unbind(1)
            further = self.thickness * (2 * thickness - 1).clamp(min=0)
            sigma = sigma + torch.stack([further * (rows_or_columns < 0.5), further * (rows_or_columns >= 0.5)])
        return _blur(images, *sigma.clamp(min=0.05))


def _blur(images: Tensor, row_sigma: Tensor, column_sigma: Tensor) -> Tensor:
    """Gaussian blur of (B, 1, H, W) across rows and columns, with a standard deviation (B,) of each in pixels."""
    batch, reach = images.shape[0], _BLUR_REACH
    distance = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernels = [(-(distance**2) / (2 * sigma.view(-1, 1) ** 2)).exp() for sigma in (row_sigma, column_sigma)]
    rows, columns = (kernel / kernel.sum(1, keepdim=True) for kernel in kernels)
    padded = functional.pad(images.transpose(0, 1), (reach,) * 4, mode="replicate")
    across_rows = functional.conv2d(padded, rows.view(batch, 1, -1, 1), groups=batch)
    return functional.conv2d(across_rows, columns.view(batch, 1, 1, -1), groups=batch).transpose(0, 1)


AUGMENTATIONS = {
    "plain": Augmentation(unchanged_tone=1.0, bias_field=0.0, noise=0.0, blur=0.0),
    "moderate": Augmentation(),
    "strong": Augmentation(flatness=0.8, unchanged_tone=0.1, bias_field=0.4, noise=0.03, blur=0.8, thickness=1.2),
}
"""How far the copies' contrast is changed, by name; `plain` copies are the target slices themselves."""
