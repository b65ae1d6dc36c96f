"""LMIDiffusion's checkpoint: the score network's weights and all that translation needs to know."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from ..images.planes import AXIAL, check_planes
from ..interface.checkpoint_header import KIND
from ..interface.resources import DEFAULT_CHECKPOINT, checkpoint_path
from ..lmi import GaussianKernel, HistogramKernel
from ..segmentation.classes import TISSUES, named_centers
from .checkpoint_file import Provenance as Provenance
from .checkpoint_file import (
    StoredCheckpoint,
    build_network,
    check_limits,
    check_types,
    check_weights,
    read_checkpoint,
    write_checkpoint,
)
from .conditioning import Condition
from .quantization import stored_weights
from .score_network import NetworkSettings, ScoreNetwork
from .sde import VarianceExplodingSDE

KERNELS: dict[str, type[GaussianKernel] | type[HistogramKernel]] = {
    "gaussian": GaussianKernel,
    "histogram": HistogramKernel,
}


@dataclass(frozen=True)
class Checkpoint:
    """Model of LMIDiffusion.

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
        """Build the network with these weights, in evaluation mode."""
        return build_network(lambda: ScoreNetwork(self.network), self.weights)

    def centers(self, count: int | None) -> NDArray[np.float64]:
        """Return the K-Means centers of that many classes; None for the most there are.

        Raises:
            UserError: there are none.
        """
        chosen = max(self.class_centers) if count is None else count
        if chosen not in self.class_centers:
            known = " or ".join(map(str, sorted(self.class_centers)))
            raise UserError(f"This checkpoint knows no {count} clusters; choose {known}.")
        return self.class_centers[chosen]

    def stored(self) -> StoredCheckpoint:
        """Return the content of this checkpoint's file, but with these weights."""
        settings = {
            "planes": [*self.planes],
            "network": dataclasses.asdict(self.network),
            "condition": condition_metadata(self.condition),
            "sde": dataclasses.asdict(self.sde),
            "class_centers": {str(count): centers.tolist() for count, centers in self.class_centers.items()},
            "tissue_centers": self.tissue_centers,
        }
        return StoredCheckpoint(KIND, self.weights, settings, self.modality, self.pixel_size, self.provenance)

    def metadata(self) -> dict[str, Any]:
        """Return everything but the weights, as plain JSON types."""
        return self.stored().metadata()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint with weights of 8 bits, under a temporary name first."""
    stored = checkpoint.stored()
    write_checkpoint(dataclasses.replace(stored, weights=stored_weights(stored.weights)), path)


def load_checkpoint(name_or_path: str | Path = DEFAULT_CHECKPOINT) -> Checkpoint:
    """Read a checkpoint by the name of a bundled one or by path.

    Raises:
        UserError: there is none, or it is damaged, of another kind, a pickle, or of a newer format.
    """
    return read_checkpoint(checkpoint_path(str(name_or_path)), KIND, _restored)


def _restored(stored: StoredCheckpoint) -> Checkpoint:
    settings = stored.settings
    checkpoint = Checkpoint(
        weights=stored.weights,
        network=network_settings(settings["network"]),
        condition=condition_from_metadata(settings["condition"]),
        sde=VarianceExplodingSDE(**settings["sde"]),
        modality=stored.modality,
        pixel_size=stored.pixel_size,
        class_centers={
            int(count): _centers(centers, int(count)) for count, centers in settings["class_centers"].items()
        },
        tissue_centers=_tissue_centers(settings["tissue_centers"], stored.format_version),
        provenance=stored.provenance,
        planes=planes_from_metadata(settings.get("planes", [AXIAL])),  # older files have none
    )
    check_types(checkpoint.sde)
    finest = checkpoint.network.finest_pixel_size
    if finest is not None and not (type(finest) in (int, float) and 0 < finest <= checkpoint.pixel_size):
        raise ValueError(f"finest_pixel_size is {finest!r}")
    if not checkpoint.class_centers:
        raise ValueError("there are no classes")
    if checkpoint.network.condition_channels != len(checkpoint.condition.channels):
        raise ValueError("the maps do not fit the network")
    check_weights(checkpoint.weights, lambda: ScoreNetwork(checkpoint.network))
    return checkpoint


def planes_from_metadata(names: Any) -> tuple[str, ...]:
    """Return names of planes out of their plain JSON types.

    Raises:
        ValueError: they are none, or the axial one is not the first.
    """
    if type(names) is not list:
        raise ValueError(f"planes is {names!r}")
    check_planes(names)
    return tuple(names)


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


def network_settings(metadata: dict[str, Any]) -> NetworkSettings:
    """Return the shape of a network out of its plain JSON types.

    Raises:
        LookupError, TypeError, ValueError: they are damaged.
    """
    settings = NetworkSettings(**{**metadata, "channels": tuple(metadata["channels"])})
    check_types(settings)
    check_limits(
        blocks=settings.blocks,
        levels=len(settings.channels),
        unshuffle=settings.unshuffle,
        maps=settings.condition_channels,
    )
    return settings


def condition_metadata(condition: Condition) -> dict[str, Any]:
    """Return a condition as plain JSON types."""
    kernel = condition.kernel
    name = next(name for name, kind in KERNELS.items() if isinstance(kernel, kind))
    return {**dataclasses.asdict(condition), "kernel": {"name": name, **vars(kernel)}}


def condition_from_metadata(settings: dict[str, Any]) -> Condition:
    """Return a condition out of its plain JSON types.

    Raises:
        LookupError, TypeError, ValueError: they are damaged.
    """
    kernel = dict(settings["kernel"])
    if not all(type(size) is int for size in settings["patch_sizes"]):
        raise TypeError(f"patch_sizes is {settings['patch_sizes']!r}")
    condition = Condition(
        maps=tuple(settings["maps"]),
        patch_sizes=tuple(settings["patch_sizes"]),
        search_size=settings["search_size"],
        kernel=KERNELS[kernel.pop("name")](**kernel),
    )
    check_types(condition)
    check_types(condition.kernel)
    check_limits(search_size=condition.search_size, largest_patch=max(condition.patch_sizes))
    return condition
