"""Checkpoint files with any content, and the sentences with which they are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from torch import Tensor

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.interface.checkpoint_header import METADATA_KEY
from LMIDiffusionLib.model.checkpoint import load_checkpoint


def save_raw(path: Path, weights: dict[str, Tensor], metadata: Any) -> None:
    """A checkpoint file of half weights with any metadata, whether they make sense or not."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    save_file({name: weight.half().contiguous() for name, weight in weights.items()}, path, {METADATA_KEY: text})


def refusal(path: Path) -> str:
    """The message with which a file is refused: one sentence that names it."""
    with pytest.raises(UserError) as refused:
        load_checkpoint(str(path))
    message = str(refused.value)
    assert str(path) in message
    assert message.endswith(".") and not message.endswith("..")
    assert "\n" not in message and ". " not in message
    return message
