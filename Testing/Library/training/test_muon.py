"""Muon: the step's singular values, the shares of the two methods, and a training that goes on exactly."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from LMIDiffusionLib.training.muon import MuonAdamW, orthogonalized


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (24, 24)])
def test_the_singular_values_of_a_step_lie_near_one_and_its_vectors_are_the_gradients(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)

    inner = left.T @ orthogonalized(matrix) @ right.T

    large = values > 0.05 * values[0]
    assert ((inner.diagonal()[large] > 0.6) & (inner.diagonal()[large] < 1.3)).all()
    torch.testing.assert_close(inner, inner.diagonal().diag(), atol=1e-4, rtol=0)


def test_a_gradient_of_zeros_gives_a_step_of_zeros() -> None:
    assert torch.equal(orthogonalized(torch.zeros(4, 9)), torch.zeros(4, 9))


def test_a_kernels_step_has_the_same_size_however_large_its_gradient() -> None:
    steps = []
    for factor in (1e-3, 1e3):
        kernel = nn.Parameter(torch.zeros(8, 4, 3, 3))
        kernel.grad = factor * torch.randn(kernel.shape, generator=torch.Generator().manual_seed(0))
        MuonAdamW([kernel], 0.1).step()
        steps.append(kernel.detach())
    torch.testing.assert_close(steps[0], steps[1])
    # About a fifth of the learning rate, as Adam's.
    assert steps[0].square().mean().sqrt().item() == pytest.approx(0.2 * 0.1, rel=0.25)


def test_all_but_kernels_are_stepped_by_adamw() -> None:
    ours, theirs = (nn.Parameter(torch.ones(5)) for _ in range(2))
    for parameter in (ours, theirs):
        parameter.grad = torch.arange(5.0)
    MuonAdamW([ours], 0.1).step()
    torch.optim.AdamW([theirs], 0.1, betas=(0.9, 0.99), weight_decay=1e-4).step()
    assert torch.equal(ours, theirs)


def test_kernels_learn_a_known_filter() -> None:
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(6, 2, 3, 3, generator=generator)
    learned = nn.Parameter(torch.zeros_like(wanted))
    optimizer = MuonAdamW([learned], 0.1)
    for step in range(150):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - step / 150)
        images = torch.randn(8, 2, 8, 8, generator=generator)
        optimizer.zero_grad()
        (nn.functional.conv2d(images, learned) - nn.functional.conv2d(images, wanted)).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(learned.detach(), wanted, atol=0.1, rtol=0)


def test_a_restored_optimizer_goes_on_exactly() -> None:
    def stepped(kernel: nn.Parameter, optimizer: MuonAdamW, seed: int) -> None:
        kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(seed))
        optimizer.step()

    kernel = nn.Parameter(torch.zeros(4, 4, 3, 3))
    optimizer = MuonAdamW([kernel], 0.1)
    stepped(kernel, optimizer, 0)
    restored_kernel = copy.deepcopy(kernel)
    restored = MuonAdamW([restored_kernel], 0.1)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    stepped(kernel, optimizer, 1)
    stepped(restored_kernel, restored, 1)
    assert torch.equal(kernel, restored_kernel)
