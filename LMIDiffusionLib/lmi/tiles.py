"""Local mutual information computed on tiles of image blocks, on any device.

K depends on two pixels alone and is symmetric. It is computed once per image, for half of the pixel offsets; each
candidate of the search window only shifts the image's kernel values.

The images are cut into square blocks that overlap by the reach of their patches. A tile holds as many blocks as fit the
processor's cache, one in each lane of a table whose rows are pixels or pixel pairs: a shift selects another row, and
the density of every pixel of every patch is the sum of a few rows.

Some blocks need no search: I is at most the entropy of the reference's patch, and reaches it where the pixels of the
image's patch all differ. At high noise this holds for nearly every block.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from .kernels import PairKernel
from .tables import KernelTable, likelihood_for

# Side of a block without its overlap. Larger blocks overlap less; smaller ones give a tile more lanes.
_BLOCK_SIZE = 16
# Bytes of one thread's tile, most of which should stay in a core's caches.
_CPU_TILE_BYTES = 12 * 2**18
_GPU_TILE_BYTES = 512 * 2**20
# The lanes of a tile fill whole cache lines.
_LANE_GROUP = 16


def largest_information(
    reference: Tensor, image: Tensor, *, patch_size: int, search: int, kernel: PairKernel
) -> Tensor:
    """Compute `lmi.local_mutual_information` with a search window that reaches `search` pixels each way."""
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
    return _image_from_blocks(result, reference)


def _blocks(image: Tensor, reach: int) -> Tensor:
    """Cut an image (B, 1, H, W) with replicated borders into overlapping square blocks (blocks, pixels)."""
    down, right = (-side % _BLOCK_SIZE for side in image.shape[-2:])
    padded = functional.pad(image, (reach, reach + right, reach, reach + down), mode="replicate")
    side = _BLOCK_SIZE + 2 * reach
    return padded.unfold(2, side, _BLOCK_SIZE).unfold(3, side, _BLOCK_SIZE).reshape(-1, side**2)


def _image_from_blocks(blocks: Tensor, like: Tensor) -> Tensor:
    """Join blocks without overlap into an image with the shape of `like`."""
    batch, _, height, width = like.shape
    down, right = -(-height // _BLOCK_SIZE), -(-width // _BLOCK_SIZE)
    rows = blocks.view(batch, down, right, _BLOCK_SIZE, _BLOCK_SIZE).transpose(2, 3)
    return rows.reshape(batch, 1, down * _BLOCK_SIZE, right * _BLOCK_SIZE)[..., :height, :width].contiguous()


class _Tiles:
    """Tiles that fit the memory budget of a device; a tile as wide as the last one reuses its memory."""

    def __init__(self, like: Tensor, *, patch_size: int, search: int, kernel: PairKernel) -> None:
        self._make = functools.partial(_Tile, like, patch_size=patch_size, search=search, kernel=kernel)
        budget = _GPU_TILE_BYTES if like.device.type != "cpu" else _CPU_TILE_BYTES * torch.get_num_threads()
        side = _BLOCK_SIZE + patch_size - 1
        pairs = 2 * patch_size * (patch_size - 1) * (2 * side**2 + (side + 2 * search) ** 2)
        width = budget // ((pairs + (patch_size * _BLOCK_SIZE) ** 2) * like.element_size())
        self._width = max(_LANE_GROUP, width // _LANE_GROUP * _LANE_GROUP)
        self._last: _Tile | None = None

    def ranges(self, count: int) -> Iterator[slice]:
        """Split `count` blocks into ranges of about equal width, one for each tile."""
        tiles = -(-count // self._width)
        width = -(-count // (max(1, tiles) * _LANE_GROUP)) * _LANE_GROUP
        for first in range(0, count, max(1, width)):
            yield slice(first, min(first + width, count))

    def filled(self, reference: Tensor, image: Tensor) -> _Tile:
        """Fill a tile with blocks (lanes, pixels), overwriting the last tile."""
        if self._last is None or self._last.width != len(image):
            self._last = self._make(len(image))
        self._last.fill(reference, image)
        return self._last


class _Tile:
    """Blocks of both images, one block of each in every lane."""

    def __init__(self, like: Tensor, width: int, *, patch_size: int, search: int, kernel: PairKernel) -> None:
        self._kernel = kernel
        self._likelihood = likelihood_for(patch_size, like.dtype)
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
        """Compute the kernel values and likelihoods of blocks (lanes, pixels), overlap included."""
        self._reference.fill(reference, self._kernel)
        self._likelihood.write(self._reference.densities(), self._reference_alone)
        self._image.fill(image, self._kernel)
        self._likelihood.write(self._image.densities(), self._image_alone)

    def bound(self) -> Tensor:
        """Return an upper bound of I, (pixels of a block, lanes): the entropy of the reference's patch.

        A joint density is never larger than the density that it is joined from, as no similarity is above 1.
        """
        return self._information(-self._likelihood.logarithm(self._reference_alone))

    def undecided(self) -> Tensor:
        """Return the lanes in which some pixel's largest I may lie below its bound.

        I reaches the bound where all pixels of a candidate differ, as in noise, or all pixels of the reference agree.
        """
        least = self._candidates[0][1].clone()
        for _, alone in self._candidates[1:]:
            torch.minimum(least, alone, out=least)
        likelihood = self._likelihood
        return ((least > likelihood.least) & (self._reference_alone < likelihood.largest)).any(0).any(0).nonzero()[:, 0]

    def largest_information(self) -> Tensor:
        """Return the maximum of I over the search window, (pixels of a block, lanes)."""
        likelihood = self._likelihood
        best = torch.full_like(self._together, -math.inf)
        for planes, alone in self._candidates:
            torch.mul(self._reference.planes, planes, out=self._joint.planes)
            likelihood.write(self._joint.densities(), self._together)
            torch.maximum(best, likelihood.ratio_(self._together, alone), out=best)
        return self._information(likelihood.logarithm(best).sub_(likelihood.logarithm(self._reference_alone)))

    def _information(self, logarithm: Tensor) -> Tensor:
        """Turn the logarithm of a likelihood ratio into I: divide by n and add log n."""
        samples = self._joint.samples
        return logarithm.div_(samples).add_(math.log(samples)).flatten(0, 1)
