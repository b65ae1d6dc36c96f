"""Choice of the device, its precision and its batch size."""

from __future__ import annotations

import torch

from ..errors import UserError
from ..interface.presets import PRECISIONS

_BATCH_SIZES = {"cpu": 8, "mps": 16, "cuda": 64}


def batch_size(device: torch.device) -> int:
    """Return the number of slices that usually fit a device of this kind at once."""
    return _BATCH_SIZES[device.type]


def select_device(name: str) -> torch.device:
    """Return a device by name; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: the device is unknown or absent.
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
    """Return the dtype in which a network multiplies, float32 or bfloat16.

    Raises:
        UserError: the precision is unknown.
    """
    if name not in PRECISIONS:
        raise UserError(f"There is no precision {name}; choose one of {', '.join(PRECISIONS)}.")
    gains = device.type == "cpu" and multiplies_bfloat16_fast()
    return torch.bfloat16 if name == "bf16" or (name == "auto" and gains) else torch.float32


def multiplies_bfloat16_fast() -> bool:
    """Tell whether this processor multiplies bfloat16 faster than float32; PyTorch before 2.6 cannot, and says no."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return supported is not None and bool(supported())
