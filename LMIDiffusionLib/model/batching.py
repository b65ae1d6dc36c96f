"""Batches of slices that adapt to the memory of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from ..errors import OutOfMemory, is_out_of_memory

_Result = TypeVar("_Result")


def in_batches(
    indices: list[int], work: Callable[[list[int]], _Result], *, size: int, device: torch.device
) -> Iterator[tuple[list[int], _Result]]:
    """Work on some indices at a time; halve the batch size whenever memory runs out.

    Args:
        indices: of all slices.
        work: called with the indices of a batch.
        size: of the first batch.
        device: that `work` computes on.

    Yields:
        The indices of a batch and the result of `work`.

    Raises:
        OutOfMemory: memory runs out with a single slice.
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
