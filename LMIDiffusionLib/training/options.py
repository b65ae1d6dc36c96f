"""What can be chosen for a training, with the defaults that the command line shows too."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError
from ..images.planes import AXIAL, PLANES, check_planes


@dataclass(frozen=True)
class DataOptions:
    """What is read of a folder of target-modality scans.

    Attributes:
        modality: files are named NAME_<modality>.nii[.gz].
        brain_suffix: NAME_<suffix>.nii[.gz] is a brain mask, where it exists.
        label_suffix: NAME_<suffix>.nii[.gz] is a label map drawn on the scan, where it exists.
        tissue_levels: intensities that fluid, cortex, white matter and scalp get in the targets; None as scanned.
        planes: in which the scans are cut, names in `planes.PLANES`, the axial one first; translation uses the same.
        pixel_size: side of the pixels in millimetres.
        correct_bias: remove the coils' shading by N4 first.
        held_out: subjects for validation.
    """

    modality: str = "T1w"
    brain_suffix: str = "mask"
    label_suffix: str | None = None
    tissue_levels: tuple[float, float, float, float] | None = None
    planes: tuple[str, ...] = (AXIAL,)
    pixel_size: float = 2.0
    correct_bias: bool = False
    held_out: int = 10

    def __post_init__(self) -> None:
        try:
            check_planes(self.planes)
        except ValueError:
            raise UserError(
                f"The planes cannot be {' '.join(self.planes)}; give of {', '.join(PLANES)} axial first, and each once."
            ) from None


@dataclass(frozen=True)
class ModelOptions:
    """What is trained, and what its checkpoint says of itself.

    Attributes:
        name: of the exported checkpoint file.
        maps: names in `condition.MAPS`.
        patch_sizes: sides of the LMI's patches in pixels.
        search_size: side of the LMI's search window in pixels.
        kernel: name in `checkpoint.KERNELS`.
        channels: features of the U-Net's levels.
        blocks: residual blocks a level.
        start_from: name or path of a checkpoint whose weights the training starts with; None for random ones.
        training_data: what the data are.
        licence: of the weights.
    """

    name: str = "checkpoint"
    maps: tuple[str, ...] = ("self", "cross")
    patch_sizes: tuple[int, ...] = (3,)
    search_size: int = 3
    kernel: str = "gaussian"
    channels: tuple[int, ...] = (32, 64, 128)
    blocks: int = 1
    start_from: str | None = None
    training_data: str = ""
    licence: str = ""


@dataclass(frozen=True)
class FitOptions:
    """How it is trained.

    Attributes:
        contrast: name in `augmentation.AUGMENTATIONS`.
        steps: optimiser steps in all.
        steps_per_epoch: steps between two states to resume from.
        batch_size: slices a step and device.
        learning_rate: largest of the schedule.
        seed: of all that is random; the split does not depend on it.
        devices: how many, or which, as Lightning takes it.
        nodes: machines.
        precision: as Lightning takes it; `auto` is bf16-mixed where the device has it.
        workers: processes that read slices.
    """

    contrast: str = "anatomical"
    steps: int = 20_000
    steps_per_epoch: int = 200
    batch_size: int = 8
    learning_rate: float = 2e-3
    seed: int = 0
    devices: str = "auto"
    nodes: int = 1
    precision: str = "auto"
    workers: int = 0
