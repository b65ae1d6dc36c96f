"""The discriminator: residual blocks, and the spread within a batch."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..stylegan.generator import StyleGANSettings
from ..stylegan.layers import Convolution, Linear, activate

_GROUP = 4  # images that share one map of their spread


class Block(nn.Module):
    """Two convolutions beside a skip; halves the image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, inputs, 3)
        self.second = Convolution(inputs, outputs, 3, halve=True)
        self.skip = Convolution(inputs, outputs, 1, bias=False, halve=True)

    def forward(self, features: Tensor) -> Tensor:
        changed = activate(self.second(activate(self.first(features))))
        return (changed + self.skip(features)) / math.sqrt(2)


class Discriminator(nn.Module):
    """Maps images (B, 1, size, size) to logits (B,), above 0 for images that look real."""

    def __init__(self, settings: StyleGANSettings) -> None:
        super().__init__()
        channels = settings.channels
        self.from_image = Convolution(1, channels[-1], 1)
        self.blocks = nn.Sequential(*(Block(fine, coarse) for fine, coarse in pairwise(reversed(channels))))
        self.last = Convolution(channels[0] + 1, channels[0], 3)
        self.hidden = Linear(channels[0] * 16, channels[0])
        self.logit = Linear(channels[0], 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.blocks(activate(self.from_image(images)))
        features = activate(self.last(with_spread(features)))
        logits: Tensor = self.logit(activate(self.hidden(features.flatten(1))))
        return logits[:, 0]


def with_spread(features: Tensor) -> Tensor:
    """Add one map to features (B, C, H, W): their mean standard deviation over the images of a group.

    Groups have 4 images, or as many as there are where 4 does not divide their number.
    """
    size = _GROUP if len(features) % _GROUP == 0 else len(features)
    groups = features.unflatten(0, (size, -1))
    spread = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    maps = spread.repeat(size)[:, None, None, None].expand(-1, 1, *features.shape[2:])
    return torch.cat([features, maps], 1)
