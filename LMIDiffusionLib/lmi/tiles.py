"""Local mutual information on blocks of the images, side by side in the lanes of tables.

K depends on two pixels alone and is symmetric, so it is computed once per image for half the pixel offsets; a candidate
of the search window only shifts the image's kernels.

The images are cut into square blocks that overlap by what their patches need. A tile is as many blocks as fit the
processor's cache, side by side in the lanes of a table whose rows are pixels or pixel pairs: a shift is another row,
and the density of every pixel of every patch is the sum of a few rows.

Blocks in which no candidate has to be searched are done sooner: I is at most the entropy of the reference's patch, and
reaches it where the pixels of the image's patch are all unlike each other. At high noise nearly every block is such.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from .kernels import PairKernel
from .tables import KernelTable, likelihood_of

# Side of a block without its overlap: larger ones overlap less, smaller ones leave more lanes to a tile.
_BLOCK_SIZE = 16
# Bytes of one thread's tile: most of it should stay in a core's caches.
_CPU_TILE_BYTES = 12 * 2**18
_GPU_TILE_BYTES = 512 * 2**20
# Lanes of a tile are whole cache lines.
_LANE_GROUP = 16


def largest_information(
    reference: Tensor, image: Tensor, *, patch_size: int, search: int, kernel: PairKernel
) -> Tensor:
    """`lmi.local_mutual_information` of a search window that reaches `search` pixels each way."""
    reference_blocks = _blocks(kernel.prepare(reference), patch_size // 2)
    image_blocks = _blocks(kernel.prepare(image), patch_size // 2 + search)
    result = reference.new_empty(len(reference_blocks), _BLOCK_SIZE**2)
    tiles = _Tiles(result, patch_size=patch_size, search=search, kernel=kernel)
    left = []
    for blocks in tiles.ranges(len(result)):
        tile = tiles.filled(reference_blocks[blocks], image_blocks[blocks])
        undecided = tile.undecided()
        if 2 * len(undecided) > tile.width:
            result[blocks] = tile.largest_information().T
        else:
            result[blocks] = tile.bound().T
            left.append(undecided + blocks.start)
    for blocks in tiles.ranges(sum(map(len, left))):
        lanes = torch.cat(left)[blocks]
        result[lanes] = tiles.filled(reference_blocks[lanes], image_blocks[lanes]).largest_information().T
    return _picture(result, reference)


def _blocks(image: Tensor, reach: int) -> Tensor:
    """Overlapping square blocks of an image (B, 1, H, W), with replicated borders: (blocks, pixels of a block)."""
    down, right = (-side % _BLOCK_SIZE for side in image.shape[-2:])
    padded = functional.pad(image, (reach, reach + right, reach, reach + down), mode="replicate")
    side = _BLOCK_SIZE + 2 * reach
    return padded.unfold(2, side, _BLOCK_SIZE).unfold(3, side, _BLOCK_SIZE).reshape(-1, side**2)


def _picture(blocks: Tensor, like: Tensor) -> Tensor:
    """The image of that shape of which these are the blocks, without overlap."""
    batch, _, height, width = like.shape
    down, right = -(-height // _BLOCK_SIZE), -(-width // _BLOCK_SIZE)
    rows = blocks.view(batch, down, right, _BLOCK_SIZE, _BLOCK_SIZE).transpose(2, 3)
    return rows.reshape(batch, 1, down * _BLOCK_SIZE, right * _BLOCK_SIZE)[..., :height, :width].contiguous()


class _Tiles:
    """Tiles of as many blocks as fit the memory budget of the device; one as wide as the last reuses its memory."""

    def __init__(self, like: Tensor, *, patch_size: int, search: int, kernel: PairKernel) -> None:
        self._make = functools.partial(_Tile, like, patch_size=patch_size, search=search, kernel=kernel)
        budget = _GPU_TILE_BYTES if like.device.type != "cpu" else _CPU_TILE_BYTES * torch.get_num_threads()
        side = _BLOCK_SIZE + patch_size - 1
        pairs = 2 * patch_size * (patch_size - 1) * (2 * side**2 + (side + 2 * search) ** 2)
        width = budget // ((pairs + (patch_size * _BLOCK_SIZE) ** 2) * like.element_size())
        self._width = max(_LANE_GROUP, width // _LANE_GROUP * _LANE_GROUP)
        self._last: _Tile | None = None

    def ranges(self, count: int) -> Iterator[slice]:
        """Ranges of that many blocks that make a tile each, about equally wide."""
        tiles = -(-count // self._width)
        width = -(-count // (max(1, tiles) * _LANE_GROUP)) * _LANE_GROUP
        for first in range(0, count, max(1, width)):
            yield slice(first, min(first + width, count))

    def filled(self, reference: Tensor, image: Tensor) -> _Tile:
        """The tile of blocks (lanes, pixels), overwriting the last one."""
        if self._last is None or self._last.width != len(image):
            self._last = self._make(len(image))
        self._last.fill(reference, image)
        return self._last


class _Tile:
    """Blocks of both images, side by side in lanes."""

    def __init__(self, like: Tensor, width: int, *, patch_size: int, search: int, kernel: PairKernel) -> None:
        self._kernel = kernel
        self._likelihood = likelihood_of(patch_size, like.dtype)
        side, image_size = _BLOCK_SIZE + patch_size - 1, _BLOCK_SIZE + 2 * search
        self._reference = KernelTable(like, side, patch_size, width)
        self._joint = KernelTable(like, side, patch_size, width)
        self._image = KernelTable(like, side + 2 * search, patch_size, width)
        self._reference_alone = like.new_empty(_BLOCK_SIZE, _BLOCK_SIZE, width)
        self._together = torch.empty_like(self._reference_alone)
        self._image_alone = like.new_empty(image_size, image_size, width)
        self._candidates = [
            (
                self._image.planes[:, down : down + side, right : right + side],
                self._image_alone[down : down + _BLOCK_SIZE, right : right + _BLOCK_SIZE],
            )
            for down in range(2 * search + 1)
            for right in range(2 * search + 1)
        ]

    @property
    def width(self) -> int:
        """Number of lanes."""
        return self._together.shape[-1]

    def fill(self, reference: Tensor, image: Tensor) -> None:
        """Take in blocks (lanes, pixels) with their overlap."""
        self._reference.fill(reference, self._kernel)
        self._likelihood.write(self._reference.densities(), self._reference_alone)
        self._image.fill(image, self._kernel)
        self._likelihood.write(self._image.densities(), self._image_alone)

    def bound(self) -> Tensor:
        """What no I exceeds, (pixels of a block, lanes): the reference's entropy, as joint densities are no smaller."""
        return self._information(-self._likelihood.logarithm(self._reference_alone))

    def undecided(self) -> Tensor:
        """Lanes in which some pixel's largest I lies below its bound.

        It does not where a candidate's pixels are all unlike each other, as in noise, or the reference's all alike.
        """
        least = self._candidates[0][1].clone()
        for _, alone in self._candidates[1:]:
            torch.minimum(least, alone, out=least)
        likelihood = self._likelihood
        return ((least > likelihood.least) & (self._reference_alone < likelihood.largest)).any(0).any(0).nonzero()[:, 0]

    def largest_information(self) -> Tensor:
        """Maximum of I over the search window, (pixels of a block, lanes)."""
        likelihood = self._likelihood
        best = torch.full_like(self._together, -math.inf)
        for planes, alone in self._candidates:
            torch.mul(self._reference.planes, planes, out=self._joint.planes)
            likelihood.write(self._joint.densities(), self._together)
            torch.maximum(best, likelihood.ratio_(self._together, alone), out=best)
        return self._information(likelihood.logarithm(best).sub_(likelihood.logarithm(self._reference_alone)))

    def _information(self, logarithm: Tensor) -> Tensor:
        """Mean over the pixels of a patch, and the share of a pixel in each density."""
        samples = self._joint.samples
        return logarithm.div_(samples).add_(math.log(samples)).flatten(0, 1)
