"""Checkpoints of trained baselines: one .safetensors file with the weights and everything that translation needs.

Kinds of baselines differ in their networks and settings only, so one module reads and writes them all. No pickle is
ever loaded.
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
HEADER = HeaderFormat("lmidiffusion-rival", FORMAT_VERSION, "checkpoint of a baseline")
"""Format of the metadata, which are JSON under this key in the header of the safetensors file."""

_Network = TypeVar("_Network", bound=nn.Module)
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class BaselineTrainingRecord:
    """Record of a baseline's training.

    Attributes:
        training_data: description of the training data.
        license: license of the weights.
        training_steps: number of optimizer steps.
        training_seconds: wall-clock time of the training, all resumptions included.
    """

    training_data: str
    license: str
    training_steps: int = 0
    training_seconds: float = 0.0


@dataclass(frozen=True)
class BaselineCheckpoint:
    """Content of a baseline's checkpoint file.

    Attributes:
        kind: name of the method in the benchmark, such as "cyclegan".
        weights: of the network that translates; other trained networks are left out.
        settings: plain JSON types from which the kind builds its network.
        modality: target modality, such as T1w.
        pixel_size: side of the slices' pixels in millimeters.
        record: of the training.
    """

    kind: str
    weights: dict[str, Tensor]
    settings: dict[str, Any]
    modality: str
    pixel_size: float
    record: BaselineTrainingRecord

    @property
    def parameters(self) -> int:
        """Number of the network's parameters."""
        return sum(weight.numel() for weight in self.weights.values())

    def network(self, build: Callable[[dict[str, Any]], _Network]) -> _Network:
        """Build the network from the settings, load these weights, and put it in evaluation mode.

        Raises:
            UserError: weights and settings do not fit.
        """

        def loaded(settings: dict[str, Any]) -> _Network:
            network = build(settings)
            network.load_state_dict(self.weights)
            return network

        return self.part(loaded).eval().requires_grad_(False)

    def part(self, make: Callable[[dict[str, Any]], _Part]) -> _Part:
        """Apply `make` to the settings.

        Raises:
            UserError: the settings are damaged.
        """
        try:
            return make(self.settings)
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"The {self.kind} checkpoint is damaged (its weights do not fit its settings); copy or train it again."
            ) from error

    def metadata(self) -> dict[str, Any]:
        """Return everything but the weights, as plain JSON types."""
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


def save_baseline(checkpoint: BaselineCheckpoint, path: Path) -> None:
    """Write a checkpoint, under a temporary name first."""
    weights = {name: weight.detach().contiguous().cpu() for name, weight in checkpoint.weights.items()}
    with atomic_path(path) as temporary:
        save_file(weights, temporary, {HEADER.key: json.dumps(checkpoint.metadata())})


def load_baseline(path: Path, *, kind: str) -> BaselineCheckpoint:
    """Read a checkpoint of one kind.

    Raises:
        UserError: the file is missing, damaged, of another kind, a pickle, or in a newer format.
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


def _from_metadata(metadata: dict[str, Any], weights: dict[str, Tensor]) -> BaselineCheckpoint:
    record = BaselineTrainingRecord(**{field.name: metadata[field.name] for field in fields(BaselineTrainingRecord)})
    numbers = (metadata["pixel_size"], record.training_steps, record.training_seconds)
    if not all(type(number) in (int, float) and 0 <= number < math.inf for number in numbers):
        raise ValueError(f"expected numbers, not {numbers}")
    if not isinstance(metadata["settings"], dict):
        raise TypeError("the settings are no object")
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise ValueError("the weights are not finite")
    return BaselineCheckpoint(
        kind=metadata["kind"],
        weights=weights,
        settings=metadata["settings"],
        modality=metadata["modality"],
        pixel_size=metadata["pixel_size"],
        record=record,
    )
