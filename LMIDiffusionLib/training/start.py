"""Starting a training from the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..checkpoint import Checkpoint
from ..errors import UserError


def start_from(network: nn.Module, inputs: Sequence[str], checkpoint: Checkpoint) -> None:
    """Give a network the weights of a checkpoint whose inputs may be others; one that is new to it has no effect yet.

    Args:
        network: whose parameters are called as the score network's.
        inputs: names of its channels, the noisy slice being "noisy".
        checkpoint: whose weights it gets.

    Raises:
        UserError: the networks differ in more than their maps.
    """
    weights = {name: weight.float() for name, weight in checkpoint.weights.items()}
    folded = checkpoint.network.unshuffle**2
    known = ("noisy", *checkpoint.condition.channels)
    first = "unet.first.weight"
    parts = dict(zip(known, weights[first].split(folded, 1), strict=True))
    none = torch.zeros_like(parts["noisy"])
    weights[first] = torch.cat([parts.get(name, none) for name in inputs], 1)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"The network of the checkpoint to start from has channels {checkpoint.network.channels} and"
            f" {checkpoint.network.blocks} block(s) a level; give --channels and --blocks to match."
        ) from error
