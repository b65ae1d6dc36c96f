"""Options that all comparisons of methods on pairs have in common."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..interface.resources import DEFAULT_CHECKPOINT, checkpoint_hash
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..translation.options import TranslationOptions
from .pairs import Pair
from .registry import OURS, NamedMethod, Setup, find_method


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """Choices of a command below `lmidiffusion benchmark`; its `--help` explains them."""

    pairs: list[Pair]
    output: Path
    methods: list[str] = field(default_factory=lambda: [OURS])
    checkpoint: str = DEFAULT_CHECKPOINT
    target_scans: Path | None = None
    device: str = "auto"
    translation: TranslationOptions = TranslationOptions()

    def settings(self) -> dict[str, Any]:
        """Return the choices that change the results, as plain JSON types."""
        return {
            "checkpoint": checkpoint_hash(self.checkpoint),
            "target_scans": str(self.target_scans and self.target_scans.resolve()),
            "translation": dataclasses.asdict(self.translation),
        }

    def load(self) -> tuple[Checkpoint, list[NamedMethod]]:
        """Load the checkpoint and find the methods.

        Raises:
            UserError: one of them cannot be used.
        """
        checkpoint = load_checkpoint(self.checkpoint)
        setup = Setup(checkpoint, self.translation, self.target_scans)
        return checkpoint, [find_method(name, setup) for name in self.methods]
