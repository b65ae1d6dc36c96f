"""Muon (K. Jordan et al., 2024): momentum whose step is made orthogonal, for the convolutions; AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Quintic of the Newton-Schulz iteration: five rounds bring all singular values near 1.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
# A step whose elements have this root mean square is as large as one of Adam's (Liu et al., arXiv 2502.16982).
_ADAM_STEP = 0.2


class MuonAdamW(torch.optim.AdamW):
    """Optimizer: Muon for convolution kernels, AdamW for all other parameters.

    torch's own Muon takes matrices alone and computes in bfloat16, which processors without it emulate slowly.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, *, momentum: float = 0.95) -> None:
        """
        Args:
            parameters: of the network; those of four dimensions are taken as matrices (outputs, all inputs).
            learning_rate: of both; step sizes are matched.
            momentum: share of the running gradient kept at each step, for the kernels.
        """
        super().__init__(parameters, learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do one step; `closure`, if any, computes the loss and the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim == 4 and parameter.grad is not None:
                    self._step_kernel(parameter, group["lr"])
                    # AdamW passes over parameters without a gradient.
                    parameter.grad = None
        super().step()
        return loss

    def _step_kernel(self, parameter: nn.Parameter, learning_rate: float) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            # AdamW asks every restored state for a count of steps.
            state.update(running=torch.zeros_like(gradient), step=torch.zeros(()))
        running = state["running"].lerp_(gradient, 1 - self.momentum)
        direction = orthogonalized(gradient.lerp(running, self.momentum).flatten(1))
        size = _ADAM_STEP * max(direction.shape) ** 0.5
        parameter.sub_(direction.view_as(gradient), alpha=learning_rate * size)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return a matrix with the singular vectors of `matrix` (M, N) and singular values between about 0.7 and 1.2."""
    linear, cubic, quintic = _QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    result = wide / wide.norm().clamp(min=torch.finfo(wide.dtype).tiny)
    for _ in range(_ROUNDS):
        gram = result @ result.T
        polynomial = torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic)
        result = torch.addmm(result, polynomial, result, beta=linear)
    return result if wide is matrix else result.T
