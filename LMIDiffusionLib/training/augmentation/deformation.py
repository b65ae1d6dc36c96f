"""Deformation of heads: bends, and growth of fluid spaces as with age and disease."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...model.score_network import WIDEST_PIXELS
from ..anatomy import CLASSES
from .random_streams import Draws

# Labeled fluid alone: without labels, cortex beside a sulcus is dark too.
_FLUIDS = ("ventricles", "other fluid")
_VENTRICLES_SHARE = 0.75
_LEAST_FLUID = 12  # pixels
_BENDING_POINTS = 6
_SMOOTHING = 5  # pixels of 2 mm, twice
# A stronger pull along these smoothed slopes of fluid would fold slices over.
_STRONGEST_PULL = 12.0


@dataclass(frozen=True)
class Deformation:
    """Random deformations of slices, and their extent.

    Attributes:
        growth: share of slices in which places of fluid grow.
        places: number of growing places per slice; ventricles grow on both sides at once.
        magnification: largest share by which distances to a place shrink there.
        reach: least and largest radius of what grows, in pixels of 2 mm, as all lengths here.
        atrophy: share of slices whose fluid gains room everywhere.
        bending: share of slices that are bent smoothly.
        bend: largest displacement by that, in pixels.
    """

    growth: float = 0.0
    places: int = 3
    magnification: float = 0.8
    reach: tuple[float, float] = (6.0, 22.0)
    atrophy: float = 0.0
    bending: float = 0.0
    bend: float = 5.0

    def __call__(self, grid: Tensor, classes: Tensor, draws: Draws, *, pixel_size: float = WIDEST_PIXELS) -> Tensor:
        """Return the places at which to sample slices to deform them.

        Args:
            grid: where the slices would be sampled, (B, H, W, 2) as `grid_sample` has them.
            classes: anatomical classes of the slices (B, 1, H, W), integers.
            draws: source of random numbers.
            pixel_size: side of the slices' pixels in millimeters.
        """
        if self.growth + self.atrophy + self.bending == 0:
            return grid
        finer = WIDEST_PIXELS / pixel_size
        sized = dataclasses.replace(self, reach=(finer * self.reach[0], finer * self.reach[1]), bend=finer * self.bend)
        grown = sized._grown(grid, classes, draws)
        return sized._bent(sized._atrophied(grown, classes, draws, finer), draws)

    def _grown(self, grid: Tensor, classes: Tensor, draws: Draws) -> Tensor:
        """Grow several places of fluid one after another; later ones may lie in earlier ones."""
        chosen = draws.uniform(grid, 1).flatten() < self.growth
        for _ in range(self.places):
            grid = self._grown_at_a_place(grid, classes, chosen, draws)
        return grid

    def _grown_at_a_place(self, grid: Tensor, classes: Tensor, chosen: Tensor, draws: Draws) -> Tensor:
        """Grow one place of fluid: points around it are sampled nearer to it."""
        strength, reach = draws.uniform(grid, 2).unbind(1)
        center, is_fluid = _place_of_fluid(classes, draws, like=grid)
        least, most = self.reach
        radius = (least + (most - least) * reach).view(-1, 1, 1)
        grows = chosen & is_fluid
        magnification = torch.where(grows, self.magnification * strength, 0.0).view(-1, 1, 1)
        away = (grid - center) * _pixels(grid)
        nearer = 1 - magnification * (-away.square().sum(3) / radius.square()).exp()
        return torch.where(grows.view(-1, 1, 1, 1), center + (grid - center) * nearer[..., None], grid)

    def _atrophied(self, grid: Tensor, classes: Tensor, draws: Draws, finer: float) -> Tensor:
        """Grow all fluid: points near it are sampled nearer to it."""
        chance, strength = draws.uniform(grid, 2).unbind(1)
        pull = torch.where(chance < self.atrophy, _STRONGEST_PULL * finer**2 * strength, 0.0).view(-1, 1, 1, 1)
        slopes = _towards_fluid(classes, smoothing=2 * int(_SMOOTHING * finer / 2) + 1).to(grid)
        towards = functional.grid_sample(slopes, grid, align_corners=False)
        return grid + (pull * towards).permute(0, 2, 3, 1) / _pixels(grid)

    def _bent(self, grid: Tensor, draws: Draws) -> Tensor:
        chance, strength = draws.uniform(grid, 2).unbind(1)
        amplitude = torch.where(chance < self.bending, self.bend * strength, 0.0).view(-1, 1, 1, 1)
        points = 2 * draws.uniform(grid, 2, _BENDING_POINTS, _BENDING_POINTS) - 1
        field = functional.interpolate(points, size=list(grid.shape[1:3]), mode="bicubic", align_corners=True)
        return grid + (amplitude * field).permute(0, 2, 3, 1) / _pixels(grid)


def _towards_fluid(classes: Tensor, *, smoothing: int) -> Tensor:
    """Return the gradient of the share of fluid around each pixel, along columns and rows (B, 2, H, W)."""
    fluid = torch.stack([classes == CLASSES.index(name) for name in _FLUIDS]).any(0).float()
    for _ in range(2):
        fluid = functional.avg_pool2d(fluid, smoothing, stride=1, padding=smoothing // 2)
    rows, columns = torch.gradient(fluid, dim=(2, 3))
    return torch.cat([columns, rows], 1)


def _place_of_fluid(classes: Tensor, draws: Draws, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a pixel of fluid in grid coordinates (B, 1, 1, 2); also return where there is enough fluid (B,)."""
    height, width = classes.shape[-2:]
    ventricles, other = (CLASSES.index(name) for name in _FLUIDS)
    wanted = torch.where(draws.uniform(like, 1, 1, 1) < _VENTRICLES_SHARE, ventricles, other)
    fluid = classes == wanted
    place = (draws.uniform(like, 1, height, width) * fluid).flatten(1).argmax(1)
    pixel = torch.stack([place % width, place // width], 1)[:, None, None]
    return (pixel + 0.5) / _pixels(like) - 1, fluid.sum((1, 2, 3)) >= _LEAST_FLUID


def _pixels(grid: Tensor) -> Tensor:
    """Return the pixels per unit of grid coordinates, along columns and rows."""
    return grid.new_tensor([grid.shape[2] / 2, grid.shape[1] / 2])
