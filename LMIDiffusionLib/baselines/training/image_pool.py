"""A pool of generated images (Shrivastava et al. 2017), which shows a discriminator earlier ones again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...training.augmentation.random_streams import SliceDraws


class ImagePool(nn.Module):
    """Keeps generated images, and returns an earlier one in place of every other new one.

    It is a module, so that its images belong to the state that a training resumes from.
    """

    def __init__(self, size: int, shape: tuple[int, int]) -> None:
        """
        Args:
            size: number of images that are kept.
            shape: (H, W) of each.
        """
        super().__init__()
        self.kept: Tensor
        self.count: Tensor
        self.register_buffer("kept", torch.zeros(size, 1, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, images: Tensor, draws: SliceDraws) -> Tensor:
        """Return images (B, 1, H, W) to train a discriminator on; all of them are new until the pool is full."""
        chances = draws.uniform(images, 2)
        return torch.stack(
            [self._exchanged(image, *chance) for image, chance in zip(images, chances.tolist(), strict=True)]
        )

    def _exchanged(self, image: Tensor, chance: float, place: float) -> Tensor:
        count, size = int(self.count), len(self.kept)
        if count == size and chance < 0.5:
            return image
        index = count if count < size else int(place * size)
        given = image if count < size else self.kept[index].clone()
        self.kept[index] = image
        self.count.fill_(min(size, count + 1))
        return given
