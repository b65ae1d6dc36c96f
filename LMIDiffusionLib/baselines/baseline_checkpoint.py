"""The checkpoint of a trained rival: one .safetensors file with its weights and all that using it needs to know.

Kinds differ in their networks and settings alone, so that one module reads and writes them all. Nothing but
safetensors is ever loaded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .. import __version__
from ..errors import UserError
from ..images.files import atomic_path
from ..images.normalization import SCALE_NAME
from ..interface.checkpoint_header import HeaderFormat, damaged, read_metadata

FORMAT_VERSION = 1
HEADER = HeaderFormat("lmidiffusion-rival", FORMAT_VERSION, "checkpoint of a rival")
"""Under whose key the metadata stand, as JSON, in the header of the safetensors file."""

_Network = TypeVar("_Network", bound=nn.Module)
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class RivalTrainingRecord:
    """How a rival came to its weights.

    Attributes:
        training_data: what it was trained on.
        licence: of the weights.
        training_steps: optimiser steps.
        training_seconds: of training in all, over every resumption, by the clock.
    """

    training_data: str
    licence: str
    training_steps: int
    training_seconds: float


@dataclass(frozen=True)
class RivalCheckpoint:
    """What the checkpoint file of a rival holds.

    Attributes:
        kind: of rival, as the benchmark calls the method: "cyclegan".
        weights: of the network that translates, which need not be all that was trained.
        settings: plain JSON types; what its kind builds the network from, and whatever else it needs.
        modality: target modality, such as T1w.
        pixel_size: side of the slices' pixels in millimetres.
        record: of the training.
    """

    kind: str
    weights: dict[str, Tensor]
    settings: dict[str, Any]
    modality: str
    pixel_size: float
    record: RivalTrainingRecord

    @property
    def parameters(self) -> int:
        """How many numbers were learned of the network that translates."""
        return sum(weight.numel() for weight in self.weights.values())

    def network(self, build: Callable[[dict[str, Any]], _Network]) -> _Network:
        """The network that `build` makes of the settings, with these weights, in evaluation mode.

        Raises:
            UserError: they do not fit one another.
        """

        def loaded(settings: dict[str, Any]) -> _Network:
            network = build(settings)
            network.load_state_dict(self.weights)
            return network

        return self.part(loaded).eval().requires_grad_(False)

    def part(self, make: Callable[[dict[str, Any]], _Part]) -> _Part:
        """What `make` makes of the settings.

        Raises:
            UserError: they are damaged.
        """
        try:
            return make(self.settings)
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"The {self.kind} checkpoint is damaged (its weights do not fit its settings); copy or train it again."
            ) from error

    def metadata(self) -> dict[str, Any]:
        """Everything but the weights, as plain JSON types."""
        return {
            "format_version": FORMAT_VERSION,
            "library_version": __version__,
            "kind": self.kind,
            "settings": self.settings,
            "modality": self.modality,
            "pixel_size": self.pixel_size,
            "intensity_scale": SCALE_NAME,
            "parameters": self.parameters,
            **asdict(self.record),
        }


def save_rival(checkpoint: RivalCheckpoint, path: Path) -> None:
    """Write a rival's checkpoint, under a temporary name first."""
    weights = {name: weight.detach().contiguous().cpu() for name, weight in checkpoint.weights.items()}
    with atomic_path(path) as temporary:
        save_file(weights, temporary, {HEADER.key: json.dumps(checkpoint.metadata())})


def load_rival(path: Path, *, kind: str) -> RivalCheckpoint:
    """Read the checkpoint of a rival of some kind.

    Raises:
        UserError: there is none, or it is damaged, of another kind, a pickle, or of a newer format.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; give the path of a checkpoint of {kind}.")
    metadata = read_metadata(path, wanted=HEADER)
    try:
        if metadata["kind"] != kind:
            raise UserError(f"{path} is a checkpoint of {metadata['kind']}; give one of {kind}.")
        if metadata["intensity_scale"] != SCALE_NAME:
            raise UserError(f"{path} uses another intensity scale ({metadata['intensity_scale']}); train it again.")
        return _from_metadata(metadata, load_file(path))
    except UserError:
        raise
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise damaged(path) from error


def _from_metadata(metadata: dict[str, Any], weights: dict[str, Tensor]) -> RivalCheckpoint:
    record = RivalTrainingRecord(**{field.name: metadata[field.name] for field in fields(RivalTrainingRecord)})
    numbers = (metadata["pixel_size"], record.training_steps, record.training_seconds)
    if not all(type(number) in (int, float) and 0 <= number < math.inf for number in numbers):
        raise ValueError(f"expected numbers, not {numbers}")
    if not isinstance(metadata["settings"], dict):
        raise TypeError("the settings are no object")
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise ValueError("the weights are not finite")
    return RivalCheckpoint(
        kind=metadata["kind"],
        weights=weights,
        settings=metadata["settings"],
        modality=metadata["modality"],
        pixel_size=metadata["pixel_size"],
        record=record,
    )
