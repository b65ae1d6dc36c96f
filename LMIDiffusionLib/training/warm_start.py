"""Starting a training from the weights of a checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from ..errors import UserError
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.score_network import ResidualBlock, UNet
from .options import ModelOptions


def start_of(model: ModelOptions) -> Checkpoint | None:
    """Load the checkpoint that a training starts from; None if it starts from random weights.

    Raises:
        UserError: it cannot be loaded, or the networks differ in more than their maps and blocks.
    """
    if model.start_from is None:
        return None
    checkpoint = load_checkpoint(model.start_from)
    old = checkpoint.network
    if old.channels != model.channels or old.blocks > model.blocks:
        raise UserError(
            f"The network of the checkpoint to start from has channels {old.channels} and {old.blocks} block(s) a"
            " level; give --channels to match, and --blocks to match or to exceed."
        )
    return checkpoint


def start_from(network: nn.Module, inputs: Sequence[str], checkpoint: Checkpoint) -> None:
    """Initialize a network from a checkpoint with other maps, or with fewer blocks per level.

    What is new to it has no effect yet: new maps have weights of 0, new blocks pass on what they are given.

    Args:
        network: with the `unet` of a score network, of the checkpoint's shape but for its maps and blocks.
        inputs: names of its channels, the noisy slice being "noisy".
        checkpoint: whose weights it gets.
    """
    old, unet = checkpoint.network, network.unet
    assert isinstance(unet, UNet)
    origin = checkpoint.score_network().unet
    for name in ("noise_embedding", "middle", "last"):
        unet.get_submodule(name).load_state_dict(origin.get_submodule(name).state_dict())
    if unet.size_embedding is not None and origin.size_embedding is not None:
        unet.size_embedding.load_state_dict(origin.size_embedding.state_dict())
    _start_first(unet.first, inputs, origin.first, ("noisy", *checkpoint.condition.channels))
    _start_levels(unet.encoder, origin.encoder, new_after=old.blocks)
    # The decoder's first block of a level changes the width, and its last one takes the skip from above.
    _start_levels(unet.decoder, origin.decoder, new_after=1)


def _start_first(first: nn.Conv2d, inputs: Sequence[str], origin: nn.Conv2d, known: Sequence[str]) -> None:
    """Initialize the first layer: the checkpoint's weights for maps that it has, 0 for others."""
    parts = dict(zip(known, origin.weight.detach().chunk(len(known), 1), strict=True))
    none = torch.zeros_like(parts["noisy"])
    weight = torch.cat([parts.get(name, none) for name in inputs], 1)
    first.load_state_dict({**origin.state_dict(), "weight": weight})


def _start_levels(modules: nn.ModuleList, origin: nn.ModuleList, *, new_after: int) -> None:
    """Initialize an encoder or a decoder; new blocks of a level follow those of the checkpoint."""
    for blocks, known in zip(_blocks(modules), _blocks(origin), strict=True):
        end = new_after + len(blocks) - len(known)
        for block, start in zip([*blocks[:new_after], *blocks[end:]], known, strict=True):
            block.load_state_dict(start.state_dict())
        for block in blocks[new_after:end]:
            _pass_on(block)
    between = ([each for each in list_ if not isinstance(each, ResidualBlock)] for list_ in (modules, origin))
    for module, start in zip(*between, strict=True):
        module.load_state_dict(start.state_dict())


def _blocks(modules: nn.ModuleList) -> list[list[ResidualBlock]]:
    """Return the blocks of each level."""
    runs = itertools.groupby(modules, key=lambda module: isinstance(module, ResidualBlock))
    return [[each for each in run if isinstance(each, ResidualBlock)] for is_blocks, run in runs if is_blocks]


def _pass_on(block: ResidualBlock) -> None:
    """Make a block return the first of its input features unchanged."""
    last = block.after[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    if isinstance(block.shortcut, nn.Conv2d):
        nn.init.dirac_(block.shortcut.weight)
        assert block.shortcut.bias is not None
        nn.init.zeros_(block.shortcut.bias)
