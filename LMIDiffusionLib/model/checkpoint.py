"""A checkpoint: one .safetensors file with the score network's weights and all that translation needs to know."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import __version__
from ..errors import UserError
from ..images.files import atomic_path
from ..images.normalization import SCALE_NAME
from ..images.planes import AXIAL, check_planes
from ..interface.checkpoint_header import FORMAT_VERSION, METADATA_KEY, damaged, read_metadata
from ..interface.resources import DEFAULT_CHECKPOINT, checkpoint_path
from ..lmi import GaussianKernel, HistogramKernel
from ..segmentation.classes import TISSUES, named_centers
from .conditioning import Condition
from .quantization import restored_weights, stored_weights
from .score_network import NetworkSettings, ScoreNetwork
from .sde import VarianceExplodingSDE

KERNELS: dict[str, type[GaussianKernel] | type[HistogramKernel]] = {
    "gaussian": GaussianKernel,
    "histogram": HistogramKernel,
}

_LARGEST_SIZE = 64
_PIXEL_SIZES = (0.1, 20.0)  # millimeters
_LONGEST_NAME, _NOT_IN_NAMES = 40, '/\\:*?"<>|%'


@dataclass(frozen=True)
class Provenance:
    """Where weights come from, and what may be done with them.

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
    training_steps: int
    library_version: str = __version__
    training_seconds: float | None = None
    recipe: dict[str, Any] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        weights: the score network's parameters.
        network: its shape.
        condition: which maps condition the network, and how they are made.
        sde: noise levels seen in training.
        modality: target modality, such as T1w.
        pixel_size: side of the slices' pixels in millimeters; the largest, for a network that is told the size.
        planes: of the slices that it was trained on, names in `planes.PLANES`.
        class_centers: K-Means centers of whole slices by number of clusters, ascending, in [0, 1].
        tissue_centers: center of each of `segmentation.TISSUES` inside training brains; None where they are not known.
        provenance: where the weights come from.
    """

    weights: dict[str, Tensor]
    network: NetworkSettings
    condition: Condition
    sde: VarianceExplodingSDE
    modality: str
    pixel_size: float
    class_centers: dict[int, NDArray[np.float64]]
    tissue_centers: dict[str, float] | None
    provenance: Provenance
    planes: tuple[str, ...] = (AXIAL,)

    def score_network(self) -> ScoreNetwork:
        """The network with these weights, in evaluation mode."""
        network = ScoreNetwork(self.network)
        network.load_state_dict({name: weight.float() for name, weight in self.weights.items()})
        return network.eval().requires_grad_(False)

    def centers(self, count: int | None) -> NDArray[np.float64]:
        """The K-Means centers of that many classes; None for the most there are.

        Raises:
            UserError: there are none.
        """
        chosen = max(self.class_centers) if count is None else count
        if chosen not in self.class_centers:
            known = " or ".join(map(str, sorted(self.class_centers)))
            raise UserError(f"This checkpoint knows no {count} clusters; choose {known}.")
        return self.class_centers[chosen]

    def metadata(self) -> dict[str, Any]:
        """Everything but the weights, as plain JSON types."""
        return {
            "format_version": FORMAT_VERSION,
            "modality": self.modality,
            "pixel_size": self.pixel_size,
            "planes": [*self.planes],
            "intensity_scale": SCALE_NAME,
            "network": dataclasses.asdict(self.network),
            "condition": condition_metadata(self.condition),
            "sde": dataclasses.asdict(self.sde),
            "class_centers": {str(count): centers.tolist() for count, centers in self.class_centers.items()},
            "tissue_centers": self.tissue_centers,
            **dataclasses.asdict(self.provenance),
        }


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint with weights of 8 bits, under a temporary name first."""
    weights = stored_weights(checkpoint.weights)
    with atomic_path(path) as temporary:
        save_file(weights, temporary, {METADATA_KEY: json.dumps(checkpoint.metadata())})


def load_checkpoint(name_or_path: str | Path = DEFAULT_CHECKPOINT) -> Checkpoint:
    """Read a checkpoint by the name of a bundled one or by path.

    Raises:
        UserError: there is none, or it is damaged, of another kind, a pickle, or of a newer format.
    """
    path = checkpoint_path(str(name_or_path))
    metadata = read_metadata(path)
    try:
        return _from_metadata(metadata, restored_weights(load_file(path)), path)
    except UserError:
        raise
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise damaged(path) from error


def _from_metadata(metadata: dict[str, Any], weights: dict[str, Tensor], path: Path) -> Checkpoint:
    if metadata["intensity_scale"] != SCALE_NAME:
        raise UserError(f"{path} uses another intensity scale ({metadata['intensity_scale']}); train it again.")
    checkpoint = Checkpoint(
        weights=weights,
        network=network_settings(metadata["network"]),
        condition=condition_of(metadata["condition"]),
        sde=VarianceExplodingSDE(**metadata["sde"]),
        modality=metadata["modality"],
        pixel_size=metadata["pixel_size"],
        class_centers={
            int(count): _centers(centers, int(count)) for count, centers in metadata["class_centers"].items()
        },
        tissue_centers=_tissue_centers(metadata["tissue_centers"], metadata["format_version"]),
        provenance=_provenance(metadata),
        planes=planes_of(metadata.get("planes", [AXIAL])),  # older files have none
    )
    finest = checkpoint.network.finest_pixel_size
    if finest is not None and not (type(finest) in (int, float) and 0 < finest <= checkpoint.pixel_size):
        raise ValueError(f"finest_pixel_size is {finest!r}")
    condition = checkpoint.condition
    for settings in (
        checkpoint,
        checkpoint.network,
        condition,
        condition.kernel,
        checkpoint.sde,
        checkpoint.provenance,
    ):
        _check_settings(settings)
    if not checkpoint.class_centers:
        raise ValueError("there are no classes")
    _check_sizes(checkpoint)
    _check_weights(checkpoint)
    return checkpoint


def planes_of(names: Any) -> tuple[str, ...]:
    """Names of planes out of their plain JSON types.

    Raises:
        ValueError: they are none, or the axial one is not the first.
    """
    if type(names) is not list:
        raise ValueError(f"planes is {names!r}")
    check_planes(names)
    return tuple(names)


def _provenance(metadata: dict[str, Any]) -> Provenance:
    told = {"training_seconds": None, "recipe": None, **metadata}  # older files have none
    seconds = told["training_seconds"]
    if seconds is not None and not (type(seconds) in (int, float) and 0 <= seconds < math.inf):
        raise ValueError(f"training_seconds is {seconds!r}")
    if told["recipe"] is not None and type(told["recipe"]) is not dict:
        raise ValueError(f"recipe is {told['recipe']!r}")
    return Provenance(**{field.name: told[field.name] for field in dataclasses.fields(Provenance)})


def _tissue_centers(values: Any, version: int) -> dict[str, float] | None:
    if values is None:
        return None
    if version == 1:
        return named_centers(_centers(values, len(TISSUES)), TISSUES)
    if values.keys() != set(TISSUES) or not all(type(value) in (int, float) for value in values.values()):
        raise ValueError(f"expected centers of {TISSUES}")
    if not all(math.isfinite(value) for value in values.values()):
        raise ValueError("centers must be finite")
    return {name: values[name] for name in TISSUES}


def _centers(values: Any, count: int) -> NDArray[np.float64]:
    centers = np.array(values, np.float64)
    if centers.shape != (count,) or not np.isfinite(centers).all() or (np.diff(centers) < 0).any():
        raise ValueError(f"expected {count} ascending centers")
    return centers


def _check_settings(settings: Any) -> None:
    """Every text must be a text, and every number a positive one of its kind: JSON may hold anything in its place."""
    kinds = {str: (str,), int: (int,), float: (int, float)}
    for name, kind in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if kind in kinds and type(value) not in kinds[kind]:
            raise TypeError(f"{name} is {value!r}")
        least = 0 if name == "training_steps" else sys.float_info.min
        if kind in (int, float) and not least <= value < math.inf:
            raise ValueError(f"{name} is {value!r}")


def network_settings(metadata: dict[str, Any]) -> NetworkSettings:
    """The shape of a network out of its plain JSON types."""
    return NetworkSettings(**{**metadata, "channels": tuple(metadata["channels"])})


def condition_metadata(condition: Condition) -> dict[str, Any]:
    """A condition as plain JSON types."""
    kernel = condition.kernel
    name = next(name for name, kind in KERNELS.items() if isinstance(kernel, kind))
    return {**dataclasses.asdict(condition), "kernel": {"name": name, **vars(kernel)}}


def condition_of(settings: dict[str, Any]) -> Condition:
    """What `condition_metadata` has made plain."""
    kernel = dict(settings["kernel"])
    if not all(type(size) is int for size in settings["patch_sizes"]):
        raise TypeError(f"patch_sizes is {settings['patch_sizes']!r}")
    return Condition(
        maps=tuple(settings["maps"]),
        patch_sizes=tuple(settings["patch_sizes"]),
        search_size=settings["search_size"],
        kernel=KERNELS[kernel.pop("name")](**kernel),
    )


def _check_sizes(checkpoint: Checkpoint) -> None:
    """Refuse settings that would take hours or gigabytes before anything shows that they do not fit the weights.

    The modality becomes a part of file names.
    """
    network, condition = checkpoint.network, checkpoint.condition
    sizes = {
        "blocks": network.blocks,
        "levels": len(network.channels),
        "unshuffle": network.unshuffle,
        "maps": network.condition_channels,
        "search_size": condition.search_size,
        **{f"patch size {number}": size for number, size in enumerate(condition.patch_sizes)},
    }
    for name, size in sizes.items():
        if size > _LARGEST_SIZE:
            raise ValueError(f"{name} is {size}")
    least, most = _PIXEL_SIZES
    if not least <= checkpoint.pixel_size <= most:
        raise ValueError(f"pixel_size is {checkpoint.pixel_size}")
    name = checkpoint.modality
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME or name[0] == "." or set(name) & set(_NOT_IN_NAMES):
        raise ValueError(f"modality is {name!r}")


def _check_weights(checkpoint: Checkpoint) -> None:
    if checkpoint.network.condition_channels != len(checkpoint.condition.channels):
        raise ValueError("the maps do not fit the network")
    with torch.device("meta"):
        expected = ScoreNetwork(checkpoint.network).state_dict()
    found = {name: weight.shape for name, weight in checkpoint.weights.items()}
    if found != {name: weight.shape for name, weight in expected.items()}:
        raise ValueError("the weights do not fit the network")
    if not all(weight.isfinite().all() for weight in checkpoint.weights.values()):
        raise ValueError("the weights are not finite")
