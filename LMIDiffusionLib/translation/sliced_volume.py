"""A source volume, scaled and cut into slices once: what every method starts from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from ..images.normalization import head_mask, head_outlines, otsu_threshold, smoothed_within, to_unit_scale
from ..images.slice_grid import SliceGrid, pad_to, padded_shape
from ..images.volume import Volume
from .guided_upsampling import guided_upsampling

_AIR_SMOOTHING = 3.0  # millimetres
# Slices with less head than this, in square millimetres, are background.
_MINIMUM_HEAD_AREA = 200.0


@dataclass(frozen=True)
class SlicedSource:
    """A volume on the unit scale and its slices in one plane; the axial ones from the feet up.

    Attributes:
        grid: of the slices, and the way back to the volume's own.
        scaled: (I, J, K) in [0, 1], the whole volume.
        plane_slices: (S, 1, rows, columns), slices of the volume's own pixels.
        slices: (S, 1, H, W), the same on the checkpoint's pixels.
        pixel_size: side of the checkpoint's pixels in millimetres.
        otsu: Otsu's threshold of `scaled`.
    """

    grid: SliceGrid
    scaled: NDArray[np.float32]
    plane_slices: Tensor
    slices: Tensor
    pixel_size: float
    otsu: float
    _outlines: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)
    _head_slices: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, volume: Volume, *, pixel_size: float) -> SlicedSource:
        """Scale and cut a volume of any orientation, spacing and real dtype.

        Raises:
            UserError: its axial slices would be too small or too large.
            ValueError: it is constant.
        """
        grid = SliceGrid(volume.array.shape, volume.affine, pixel_size=pixel_size)
        scaled = to_unit_scale(volume.array)
        return cls._cut(scaled, grid, pixel_size, otsu_threshold(scaled))

    @classmethod
    def _cut(cls, scaled: NDArray[np.float32], grid: SliceGrid, pixel_size: float, otsu: float) -> SlicedSource:
        planes = grid.plane_slices(scaled)
        return cls(grid, scaled, planes, grid.to_slices(planes), pixel_size, otsu)

    def head_slices(self, chosen: tuple[int, int] | None = None) -> list[int]:
        """Indices of the slices in [first, stop), of all if None, that show some of the head.

        Raises:
            UserError: the range does not fit the volume.
        """
        first, stop = chosen or (0, self.grid.slice_count)
        if not 0 <= first < stop <= self.grid.slice_count:
            raise UserError(
                f"The slice range {first}:{stop} does not fit the volume;"
                f" its axial slices are 0:{self.grid.slice_count}."
            )
        return [index for index in self.head_slices_in(self.grid.plane) if first <= index < stop]

    def head_slices_in(self, plane: str) -> list[int]:
        """As `head_slices`, of all slices of any plane."""
        if plane not in self._head_slices:
            grid = self.grid.in_plane(plane)
            voxels = grid.plane_slices(head_mask(self.scaled, otsu=self.otsu)).sum((1, 2, 3))
            areas = voxels * grid.plane_spacing[0] * grid.plane_spacing[1]
            self._head_slices[plane] = torch.nonzero(areas >= _MINIMUM_HEAD_AREA).flatten().tolist()
        return self._head_slices[plane]

    def outlines(self, indices: list[int]) -> Tensor:
        """Pixels (B, 1, H, W) of the head, bool; all others show air."""
        new = [index for index in indices if index not in self._outlines]
        if new:
            outlines = head_outlines(self.scaled, self.slices[new, 0].numpy(), otsu=self.otsu)
            self._outlines.update(zip(new, torch.from_numpy(outlines), strict=True))
        return torch.stack([self._outlines[index] for index in indices])[:, None]

    def in_plane(self, plane: str) -> SlicedSource:
        """The same volume cut in another plane, where the head is that of this one."""
        if plane == self.grid.plane:
            return self
        heads = self.grid.to_plane(self.outlines(list(range(self.grid.slice_count))).float())
        head = self.grid.volume((heads >= 0.5).float())
        cut = self._cut(self.scaled, self.grid.in_plane(plane), self.pixel_size, self.otsu)
        cut._outlines.update(enumerate(cut.grid.slices(head)[:, 0] >= 0.5))
        return cut

    def with_intensities(self, scaled: NDArray[np.float32]) -> SlicedSource:
        """The same slices of a volume (I, J, K) in [0, 1] in place of `scaled`."""
        return self._cut(scaled, self.grid, self.pixel_size, otsu_threshold(scaled))

    def padded(self, indices: list[int], *, stride: int) -> Tensor:
        """These slices (B, 1, H, W), padded to multiples of a network's stride."""
        return pad_to(self.slices[indices], padded_shape(self.grid.slice_shape, stride))

    def with_air(self, images: Tensor, indices: list[int]) -> Tensor:
        """Images of these slices, padded as by `padded`, cropped and put in [0, 1]; around the head, its air."""
        cropped = pad_to(images.clamp(0, 1).float().cpu(), self.grid.slice_shape)
        return torch.where(self.outlines(indices), cropped, self.air(indices))

    def air(self, indices: list[int]) -> Tensor:
        """The air of these slices (B, 1, H, W) as the scan shows it, but without its noise; 0 in the head.

        It has no contrast to translate, only a level; what is drawn of the head has no noise either.
        """
        mask = ~self.outlines(indices)[:, 0].numpy()
        smooth = smoothed_within(self.slices[indices, 0].numpy(), mask, sigma=_AIR_SMOOTHING / self.pixel_size)
        return torch.from_numpy(smooth)[:, None]

    def between(self, images: tuple[Tensor, Tensor], around: list[tuple[int, int]], indices: list[int]) -> Tensor:
        """Images of slices between others of which there are images: interpolated, with the detail of the slices.

        Args:
            images: of the lower and of the upper neighbours, (B, 1, H, W) each.
            around: which slices these are; both may be the slice itself.
            indices: the slices between them.

        Returns:
            (B, 1, H, W) in [0, 1].
        """
        result = images[0].clone()
        inner = [place for place, (below, above) in enumerate(around) if below < above]
        if not inner:
            return result
        chosen = [indices[place] for place in inner]
        below, above = map(list, zip(*(around[place] for place in inner), strict=True))
        low, high = torch.tensor(below), torch.tensor(above)
        shares = ((torch.tensor(chosen) - low) / (high - low)).view(-1, 1, 1, 1)
        interpolated = torch.lerp(images[0][inner], images[1][inner], shares)
        guide = torch.lerp(self.slices[below], self.slices[above], shares)
        result[inner] = self.with_air(guided_upsampling(interpolated, guide, self.slices[chosen]), chosen)
        return result

    def enlarged(self, images: Tensor, indices: list[int]) -> Tensor:
        """Images (B, C, H, W) in place of these slices, on the volume's own pixels: with its detail where it has more.

        Returns:
            (B, C, rows, columns).
        """
        grid = self.grid
        if not any(fine > coarse for fine, coarse in zip(grid.plane_shape, grid.slice_shape, strict=True)):
            return grid.to_plane(images)
        return guided_upsampling(images, self.slices[indices], self.plane_slices[indices])
