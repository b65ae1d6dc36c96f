"""Where to compute, in which precision, and how many slices at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import UserError

PRECISIONS = ("auto", "32", "bf16")
"""`auto` is bfloat16 on processors that multiply it faster than float32, and float32 elsewhere."""
_BATCH_SIZES = {"cpu": 8, "mps": 16, "cuda": 64}


@dataclass(frozen=True)
class Processor:
    """What computes, by name.

    Attributes:
        device: as `select_device` takes it.
        precision: as `select_precision` takes it.
    """

    device: str = "auto"
    precision: str = "auto"


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


def select_precision(name: str, device: torch.device) -> torch.dtype:
    """The type in which a network's products are taken: float32 or bfloat16.

    Raises:
        UserError: there is no precision of that name.
    """
    if name not in PRECISIONS:
        raise UserError(f"There is no precision {name}; choose one of {', '.join(PRECISIONS)}.")
    gains = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if name == "bf16" or (name == "auto" and gains) else torch.float32
