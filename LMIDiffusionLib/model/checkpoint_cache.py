"""Cache of the checkpoint that was used last."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..interface.resources import checkpoint_path
from .checkpoint import Checkpoint, load_checkpoint


class CheckpointCache:
    """Loads checkpoints and keeps the last one in memory until its file changes."""

    def __init__(self) -> None:
        self._file: tuple[Path, int, int, int] | None = None
        self._checkpoint: Checkpoint | None = None

    def load(self, name_or_path: str) -> Checkpoint:
        """Return the checkpoint as `load_checkpoint` does."""
        path = checkpoint_path(name_or_path).resolve()
        status = path.stat()
        file = (path, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._checkpoint is None or file != self._file:
            self._checkpoint = None
            self._checkpoint, self._file = _in_memory(load_checkpoint(path)), file
        return self._checkpoint


def _in_memory(checkpoint: Checkpoint) -> Checkpoint:
    """Copy the weights, so that the file is not held open and others can replace it."""
    return dataclasses.replace(checkpoint, weights={name: each.clone() for name, each in checkpoint.weights.items()})
