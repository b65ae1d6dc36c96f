"""As many slices at once as the memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from ..errors import OutOfMemory, is_out_of_memory

Result = TypeVar("Result")


def in_batches(
    indices: list[int], work: Callable[[list[int]], Result], *, size: int, device: torch.device
) -> Iterator[tuple[list[int], Result]]:
    """Work on some indices at a time; a batch that does not fit the memory is halved, and so are all after it.

    Yields:
        Each batch of indices and what `work` made of it.

    Raises:
        OutOfMemory: a single one is too many.
    """
    while indices:
        batch = indices[:size]
        try:
            result = work(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            size = _half(len(batch), device)
            continue
        yield batch, result
        indices = indices[len(batch) :]


def _half(size: int, device: torch.device) -> int:
    if size == 1:
        way_out = "free some" if device.type == "cpu" else "free some or choose --device cpu"
        raise OutOfMemory(f"The {device.type} device has too little memory for one slice; {way_out}.")
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return size // 2
