"""Checkpoint files of all kinds: a .safetensors file with weights and, as JSON in its header, all else.

The kind tells models apart: LMIDiffusion's score network, and the networks of trained baselines. No pickle is ever
loaded.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .. import __version__
from ..errors import UserError
from ..images.files import atomic_path
from ..images.normalization import SCALE_NAME
from ..interface.checkpoint_header import FORMAT_VERSION, METADATA_KEY, damaged_checkpoint, read_metadata
from .quantization import restored_weights

_LARGEST_SIZE = 64
_PIXEL_SIZES = (0.1, 20.0)  # millimeters
_LONGEST_NAME, _NOT_IN_NAMES = 40, '/\\:*?"<>|%'
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, RuntimeError)
"""Errors of reading settings and weights that do not fit."""

_Network = TypeVar("_Network", bound=nn.Module)
_Content = TypeVar("_Content")


@dataclass(frozen=True)
class Provenance:
    """Origin and license of weights.

    Attributes:
        training_data: what they were trained on.
        license: of the weights.
        training_steps: optimizer steps.
        library_version: of this library, when they were written.
        training_seconds: that the steps took by the clock; None where nobody noted it.
        recipe: options, versions and data to make them again, as plain JSON types; None where nobody noted it.
    """

    training_data: str
    license: str
    training_steps: int = 0
    library_version: str = __version__
    training_seconds: float | None = None
    recipe: dict[str, Any] | None = None


@dataclass(frozen=True)
class StoredCheckpoint:
    """Content of a checkpoint file.

    Attributes:
        kind: kind of the model, such as "cyclegan".
        weights: of the network that translates; other trained networks are left out.
        settings: plain JSON types from which the kind builds its network.
        modality: target modality, such as T1w.
        pixel_size: side of the slices' pixels in millimeters; the largest, for a network that is told the size.
        provenance: where the weights come from.
        format_version: of the file.
    """

    kind: str
    weights: dict[str, Tensor]
    settings: dict[str, Any]
    modality: str
    pixel_size: float
    provenance: Provenance
    format_version: int = FORMAT_VERSION

    def network(self, build: Callable[[dict[str, Any]], _Network]) -> _Network:
        """Build the network from the settings, load these weights, and put it in evaluation mode.

        Raises:
            UserError: weights and settings do not fit.
        """

        def loaded(settings: dict[str, Any]) -> _Network:
            check_weights(self.weights, lambda: build(settings))
            return build_network(lambda: build(settings), self.weights)

        return self.part(loaded)

    def part(self, make: Callable[[dict[str, Any]], _Content]) -> _Content:
        """Apply `make` to the settings.

        Raises:
            UserError: the settings are damaged.
        """
        try:
            return make(self.settings)
        except _DAMAGE as error:
            raise UserError(
                f"The {self.kind} checkpoint is damaged (its weights do not fit its settings); copy or train it again."
            ) from error

    def metadata(self) -> dict[str, Any]:
        """Return everything but the weights, as plain JSON types."""
        return {
            "format_version": self.format_version,
            "kind": self.kind,
            "modality": self.modality,
            "pixel_size": self.pixel_size,
            "intensity_scale": SCALE_NAME,
            **dataclasses.asdict(self.provenance),
            **self.settings,
        }


def write_checkpoint(checkpoint: StoredCheckpoint, path: Path) -> None:
    """Write a checkpoint file, under a temporary name first."""
    weights = {name: weight.detach().contiguous().cpu() for name, weight in checkpoint.weights.items()}
    with atomic_path(path) as temporary:
        save_file(weights, temporary, {METADATA_KEY: json.dumps(checkpoint.metadata())})


def read_checkpoint(path: Path, kind: str, restore: Callable[[StoredCheckpoint], _Content]) -> _Content:
    """Read a checkpoint file of one kind and apply `restore` to its content.

    Raises:
        UserError: the file is missing, damaged, of another kind, a pickle, or of a newer format.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; give the path of a checkpoint.")
    metadata = read_metadata(path, kind=kind)
    try:
        if metadata["intensity_scale"] != SCALE_NAME:
            raise UserError(f"{path} uses another intensity scale ({metadata['intensity_scale']}); train it again.")
        return restore(_stored(metadata, kind, restored_weights(load_file(path))))
    except UserError:
        raise
    except (SafetensorError, *_DAMAGE) as error:
        raise damaged_checkpoint(path) from error


def read_baseline(path: Path, kind: str) -> StoredCheckpoint:
    """Read the checkpoint file of a trained baseline; as `read_checkpoint`."""
    return read_checkpoint(path, kind, lambda stored: stored)


def _stored(metadata: dict[str, Any], kind: str, weights: dict[str, Tensor]) -> StoredCheckpoint:
    stored = StoredCheckpoint(
        kind=kind,
        weights=weights,
        settings={},
        modality=metadata["modality"],
        pixel_size=metadata["pixel_size"],
        provenance=_provenance(metadata),
        format_version=metadata["format_version"],
    )
    check_types(stored)
    check_types(stored.provenance)
    least, most = _PIXEL_SIZES
    if not least <= stored.pixel_size <= most:
        raise ValueError(f"pixel_size is {stored.pixel_size}")
    _check_modality(stored.modality)
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise ValueError("the weights are not finite")
    settings = {name: value for name, value in metadata.items() if name not in stored.metadata()}
    return dataclasses.replace(stored, settings=settings)


def _check_modality(name: str) -> None:
    """Refuse a name that cannot be a part of file names."""
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME or name[0] == "." or set(name) & set(_NOT_IN_NAMES):
        raise ValueError(f"modality is {name!r}")


def _provenance(metadata: dict[str, Any]) -> Provenance:
    told = {"training_seconds": None, "recipe": None, **metadata}  # older files have none
    seconds = told["training_seconds"]
    if seconds is not None and not (type(seconds) in (int, float) and 0 <= seconds < math.inf):
        raise ValueError(f"training_seconds is {seconds!r}")
    if told["recipe"] is not None and type(told["recipe"]) is not dict:
        raise ValueError(f"recipe is {told['recipe']!r}")
    return Provenance(**{field.name: told[field.name] for field in dataclasses.fields(Provenance)})


def check_types(settings: Any) -> None:
    """Check that every text is a text and every number a positive one of its kind: JSON may hold anything instead.

    Raises:
        TypeError, ValueError: one is not.
    """
    kinds = {str: (str,), int: (int,), float: (int, float)}
    for name, kind in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if kind in kinds and type(value) not in kinds[kind]:
            raise TypeError(f"{name} is {value!r}")
        least = 0 if name == "training_steps" else sys.float_info.min
        if kind in (int, float) and not least <= value < math.inf:
            raise ValueError(f"{name} is {value!r}")


def check_limits(**sizes: int) -> None:
    """Refuse sizes that would take hours or gigabytes before anything shows that they do not fit the weights.

    Raises:
        ValueError: one is too large.
    """
    for name, size in sizes.items():
        if size > _LARGEST_SIZE:
            raise ValueError(f"{name} is {size}")


class _NoInitialization(TorchFunctionMode):
    """Leaves the random initialization of layers out, which takes longer than loading their weights."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else options["tensor"]
        return func(*args, **options)


def check_weights(weights: dict[str, Tensor], build: Callable[[], nn.Module]) -> None:
    """Check that weights fit a network, which takes no memory yet.

    Raises:
        ValueError: they do not.
    """
    with torch.device("meta"), _NoInitialization():
        expected = build().state_dict()
    if {name: each.shape for name, each in weights.items()} != {name: each.shape for name, each in expected.items()}:
        raise ValueError("the weights do not fit the network")


def build_network(build: Callable[[], _Network], weights: dict[str, Tensor]) -> _Network:
    """Build a network with these weights, in evaluation mode."""
    # The caller's random numbers, default type and default device stay as they are, and do not matter here.
    with torch.random.fork_rng(devices=()), torch.device("cpu"), _NoInitialization():
        network = build().float()
    network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    return network.eval().requires_grad_(False)
