"""Options of a training, with the defaults that the command line shows too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..images.planes import PLANES, check_planes

DRAWN_MODALITY = "T1w"
"""The one modality whose levels are known for label maps without scans."""


@dataclass(frozen=True)
class DataOptions:
    """Selection and preparation of the target-modality scans of a folder.

    Attributes:
        modality: files are named NAME_<modality>.nii[.gz].
        brain_suffixes: NAME_<suffix>.nii[.gz] is a brain mask; the first that exists.
        label_suffix: NAME_<suffix>.nii[.gz] is a label map drawn on the scan, where it exists.
        tissue_levels: intensities that fluid, cortex, white matter and scalp get in the targets; None as scanned.
        planes: of the slices, names in `planes.PLANES`, the axial one first; translation uses the same.
        pixel_size: side of the pixels in millimeters; the largest where a network learns several.
        finest_pixel_size: smallest side that a network of several sizes learns, from scans as fine.
        label_maps: folder of label maps of whole heads without scans, drawn as further targets; None for none.
        correct_bias: True to remove the coils' shading by N4 first.
        held_out: number of subjects for validation.
    """

    modality: str = "T1w"
    brain_suffixes: tuple[str, ...] = ("mask", "brain")
    label_suffix: str | None = "dlmuse"
    tissue_levels: tuple[float, float, float, float] | None = (0.12, 0.42, 0.62, 0.75)
    planes: tuple[str, ...] = tuple(PLANES)
    pixel_size: float = 2.0
    finest_pixel_size: float = 1.0
    label_maps: Path | None = None
    correct_bias: bool = True
    held_out: int = 10

    def __post_init__(self) -> None:
        try:
            check_planes(self.planes)
        except ValueError:
            raise UserError(
                f"The planes cannot be {' '.join(self.planes)}; give {', '.join(PLANES)} or some of them, axial first."
            ) from None
        if not 0 < self.finest_pixel_size <= self.pixel_size:
            raise UserError(
                f"The finest pixels cannot have {self.finest_pixel_size:g} mm where the largest have"
                f" {self.pixel_size:g} mm; give --finest-pixel-size at most as large as --pixel-size."
            )
        if self.label_maps is not None and self.modality != DRAWN_MODALITY:
            raise UserError(f"Label maps can be drawn as {DRAWN_MODALITY} alone; leave out --label-maps.")


@dataclass(frozen=True, kw_only=True)
class Description:
    """Name of a checkpoint file and what it says of itself.

    Attributes:
        name: of the exported file, without its ending.
        training_data: description of the data.
        license: license of the weights.
    """

    name: str = "checkpoint"
    training_data: str = ""
    license: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Description):
    """Network, condition maps and start of a training, and the description of its checkpoint.

    Attributes:
        maps: names in `condition.MAPS`.
        patch_sizes: sides of the LMI's patches in pixels.
        search_size: side of the LMI's search window in pixels.
        kernel: name in `checkpoint.KERNELS`.
        channels: features of the U-Net's levels.
        blocks: residual blocks per level.
        start_from: name or path of a checkpoint whose weights the training starts with; None for random ones.
    """

    maps: tuple[str, ...] = ("self", "cross", "intensity")
    patch_sizes: tuple[int, ...] = (3,)
    search_size: int = 3
    kernel: str = "gaussian"
    channels: tuple[int, ...] = (32, 64, 128)
    blocks: int = 2
    start_from: str | None = None


@dataclass(frozen=True)
class FitOptions:
    """Optimization, hardware and contrasts of a training.

    Attributes:
        contrast: name in `augmentation.AUGMENTATIONS`.
        steps: total number of optimizer steps.
        steps_per_epoch: steps between two states to resume from.
        batch_size: slices per step and device.
        learning_rate: peak of the schedule.
        seed: random seed; the split does not depend on it.
        devices: number or list of devices, as Lightning takes it.
        nodes: number of machines.
        precision: as Lightning takes it; `auto` is bf16-mixed where the device has it.
        workers: number of processes that read slices.
    """

    contrast: str = "anatomical"
    steps: int = 30_000
    steps_per_epoch: int = 200
    batch_size: int = 8
    learning_rate: float = 2e-3
    seed: int = 0
    devices: str = "auto"
    nodes: int = 1
    precision: str = "auto"
    workers: int = 0
