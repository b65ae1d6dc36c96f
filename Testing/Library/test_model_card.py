"""The model cards describe the bundled checkpoints."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from LMIDiffusionLib.interface.checkpoint_header import read_metadata
from LMIDiffusionLib.interface.resources import bundled_checkpoints, checkpoint_path

CARD = (Path(__file__).parents[2] / "docs" / "model-card.md").read_text()


@pytest.mark.parametrize("name", bundled_checkpoints())
def test_each_bundled_checkpoint_has_a_card_with_its_hash_license_and_steps(name: str) -> None:
    path = checkpoint_path(name)
    card = next(part for part in re.split(r"^## ", CARD, flags=re.MULTILINE) if part.startswith(f"{name}\n"))
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    metadata = read_metadata(path)
    assert f"{metadata['training_steps']:,} steps" in card
    assert metadata["license"] in CARD
