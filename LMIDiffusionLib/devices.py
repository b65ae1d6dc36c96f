"""Where to compute, and how many slices at once."""

from __future__ import annotations

import torch

from .errors import UserError

_BATCH_SIZES = {"cpu": 8, "mps": 16, "cuda": 64}


def batch_size(device: torch.device) -> int:
    """How many slices at once fit a device of that kind as a rule."""
    return _BATCH_SIZES[device.type]


def select_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: it is unknown or not present.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in available:
        raise UserError(f"There is no device {name}; choose auto, cpu, cuda, cuda:N or mps.")
    if not available[device.type] or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise UserError(f"This machine has no {name} device that PyTorch can use; choose auto or cpu.")
    return device
