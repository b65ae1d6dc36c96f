"""Regularization of StyleGAN2: R1 penalty of the discriminator, path lengths of the generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_PATH_DECAY = 0.01


def r1_penalty(discriminator: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the mean squared gradient norm of the logits with respect to real images (Mescheder et al. 2018)."""
    images = images.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return gradients.square().sum((1, 2, 3)).mean()


def path_lengths(images: Tensor, codes: Tensor, noise: Tensor) -> Tensor:
    """Return norms (B,) of J^T y for random images y, J the Jacobian of images (B, 1, H, W) by codes w (B, layers, D).

    `noise` is standard normal, of the images' shape.
    """
    scaled = (images * noise).sum() / (images.shape[-1] * images.shape[-2]) ** 0.5
    (gradients,) = torch.autograd.grad(scaled, codes, create_graph=True)
    return gradients.square().sum(2).mean(1).sqrt()


class PathLengthPenalty(nn.Module):
    """Squared distance of path lengths to their running mean (Karras et al. 2020)."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, lengths: Tensor) -> Tensor:
        self.mean.lerp_(lengths.detach().mean(), _PATH_DECAY)
        return (lengths - self.mean).square().mean()
