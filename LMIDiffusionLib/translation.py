"""Translation of a source volume to the target modality of a checkpoint."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .axial_slices import AxialGrid, pad_to, padded_shape
from .checkpoint import Checkpoint
from .condition import Condition
from .errors import OutOfMemory, UserError, is_out_of_memory
from .intensity import head_mask, head_outlines, to_unit_scale
from .progress import Clock, Progress
from .samplers import SAMPLERS, Denoiser, Sampler, SliceNoise
from .score_network import ScoreNetwork
from .test_time_augmentation import View, sample_view
from .upsampling import guided_upsampling
from .volume import Volume

# Slices with less head than this, in square millimetres, are background.
_MINIMUM_HEAD_AREA = 200.0
_AUTO_BATCH_SIZES = {"cpu": 8, "mps": 16, "cuda": 64}


class TranslationCancelled(Exception):
    """The caller's `cancel` answered true."""


@dataclass(frozen=True)
class TranslationOptions:
    """How a volume is translated.

    Attributes:
        sampler: name in `samplers.SAMPLERS`.
        steps: denoiser evaluations a sample; None for the sampler's default.
        samples: how many are averaged, each of its own view of the source (`test_time_augmentation.sample_view`).
        guidance: weight of the condition, 1 for plain conditional sampling.
        slices: axial slices [first, stop) from the feet up; None for all.
        batch_size: slices at once; None fits the device. Halved when memory runs out.
        seed: of the noise.
    """

    sampler: str = "dpm-solver++"
    steps: int | None = None
    samples: int = 1
    guidance: float = 1.0
    slices: tuple[int, int] | None = None
    batch_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise UserError(f"There is no sampler {self.sampler}; choose one of {', '.join(SAMPLERS)}.")
        for name, value, least in (
            ("steps", self.steps, 2),
            ("samples", self.samples, 1),
            ("batch size", self.batch_size, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise UserError(f"The {name} cannot be {value}; give {least} or more.")
        if not math.isfinite(self.guidance):
            raise UserError(f"The guidance cannot be {self.guidance}; give a number, 1 for plain sampling.")

    def solver(self) -> tuple[Sampler, int]:
        """The sampler and its number of steps."""
        sampler = SAMPLERS[self.sampler]
        return sampler, self.steps or sampler.default_steps


@dataclass(frozen=True)
class Translation:
    """Result on the source's grid, float32.

    Attributes:
        volume: target-modality intensities in [0, 1]; 0 in slices outside the head or the chosen range.
        uncertainty: standard deviation over the samples; None for a single one.
    """

    volume: Volume
    uncertainty: Volume | None


def select_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: it is unknown or not present.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in available:
        raise UserError(f"There is no device {name}; choose auto, cpu, cuda, cuda:N or mps.")
    if not available[device.type] or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise UserError(f"This machine has no {name} device that PyTorch can use; choose auto or cpu.")
    return device


def unconditional_denoiser(network: ScoreNetwork) -> Denoiser:
    """Denoiser of the target modality that knows of no source: its maps are all zero."""

    @torch.no_grad()
    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        level = torch.full((len(noisy),), sigma, device=noisy.device)
        maps = noisy.new_zeros(len(noisy), network.settings.condition_channels, *noisy.shape[2:])
        return network(noisy, maps, level)

    return denoise


def conditional_denoiser(
    network: ScoreNetwork, condition: Condition, source: Tensor, *, guidance: float = 1.0
) -> Denoiser:
    """Denoiser of the target modality steered by the maps of `source` (B, 1, H, W) and the slice being generated.

    A guidance weight w other than 1 extrapolates from the unconditional estimate: D = D_0 + w (D_maps - D_0).
    """
    source_maps = condition.source_maps(source)
    without_source = unconditional_denoiser(network)

    @torch.no_grad()
    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        level = torch.full((len(noisy),), sigma, device=noisy.device)
        maps = torch.cat([source_maps, condition.noisy_maps(source, noisy)], 1)
        conditional: Tensor = network(noisy, maps, level)
        if guidance == 1:
            return conditional
        unconditional = without_source(noisy, sigma)
        return unconditional + guidance * (conditional - unconditional)

    return denoise


class VolumeTranslator(ABC):
    """Translates volumes slice by slice on a checkpoint's grid; every method of the benchmark is one."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    @abstractmethod
    def translate_slices(
        self,
        volume: Volume,
        indices: list[int],
        options: TranslationOptions = TranslationOptions(),
        *,
        cancel: Callable[[], bool] = lambda: False,
    ) -> Iterator[Progress | SliceBatch]:
        """As `translate`, but of given axial slices, and yields batches of them on the checkpoint's grid."""

    def grid(self, volume: Volume) -> AxialGrid:
        """Axial slices of a volume at the checkpoint's pixel size."""
        return AxialGrid(volume.array.shape, volume.affine, pixel_size=self.checkpoint.pixel_size)

    def translate(
        self,
        volume: Volume,
        options: TranslationOptions = TranslationOptions(),
        *,
        cancel: Callable[[], bool] = lambda: False,
    ) -> Iterator[Progress | Translation]:
        """Translate a volume; yields `Progress` after every step and the `Translation` at the end.

        Args:
            volume: any orientation, spacing and real dtype.
            options: how.
            cancel: asked after every step.

        Raises:
            UserError: the volume cannot be sliced, the slice range lies outside it, or one slice needs too much memory.
            ValueError: the volume is constant.
            TranslationCancelled: `cancel` answered true.
        """
        grid = self.grid(volume)
        to_plane = _Enlargement(grid, to_unit_scale(volume.array))
        mean = torch.zeros(grid.slice_count, 1, *grid.plane_shape)
        spread = torch.zeros_like(mean)
        for item in self.translate_slices(volume, self.head_slices(volume, options.slices), options, cancel=cancel):
            if isinstance(item, Progress):
                yield item
                continue
            # Averaged on the volume's own pixels: a standard deviation cannot be resampled.
            samples = torch.stack([to_plane(sample, item.indices) for sample in item.samples])
            mean[item.indices] = samples.mean(0)
            if options.samples > 1:
                spread[item.indices] = samples.std(0)
        translated = volume.with_array(grid.volume(mean))
        uncertainty = volume.with_array(grid.volume(spread)) if options.samples > 1 else None
        yield Translation(translated, uncertainty)

    def head_slices(self, volume: Volume, chosen: tuple[int, int] | None = None) -> list[int]:
        """Indices, from the feet up, of the axial slices [first, stop) that show some of the head.

        Raises:
            UserError: the range does not fit the volume.
        """
        grid = self.grid(volume)
        first, stop = chosen or (0, grid.slice_count)
        if not 0 <= first < stop <= grid.slice_count:
            raise UserError(
                f"The slice range {first}:{stop} does not fit the volume; its axial slices are 0:{grid.slice_count}."
            )
        pixels = grid.slices(head_mask(to_unit_scale(volume.array))).sum((1, 2, 3))
        areas = pixels * self.checkpoint.pixel_size**2
        return [index for index in range(first, stop) if areas[index] >= _MINIMUM_HEAD_AREA]


class Translator(VolumeTranslator):
    """Translates volumes with one checkpoint on one device."""

    def __init__(self, checkpoint: Checkpoint, *, device: torch.device) -> None:
        super().__init__(checkpoint)
        self.device = device
        self.network = checkpoint.score_network().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def translate_slices(
        self,
        volume: Volume,
        indices: list[int],
        options: TranslationOptions = TranslationOptions(),
        *,
        cancel: Callable[[], bool] = lambda: False,
    ) -> Iterator[Progress | SliceBatch]:
        """As `translate`, but of given axial slices, and yields batches of them on the checkpoint's grid."""
        grid = self.grid(volume)
        scaled = to_unit_scale(volume.array)
        source = grid.slices(scaled)
        heads = torch.from_numpy(head_outlines(scaled, source[:, 0].numpy()))[:, None]
        _, steps = options.solver()
        batch_size = options.batch_size or _AUTO_BATCH_SIZES[self.device.type]
        clock = Clock(slices=len(indices), samples=options.samples, steps=steps)
        while indices:
            batch = indices[:batch_size]
            try:
                samples = []
                for number in range(options.samples):
                    for step, state in enumerate(self._sample(source[batch], number, options), 1):
                        yield clock.progress(len(batch), number, step)
                        if cancel():
                            raise TranslationCancelled
                        sample = state
                    translated = pad_to(sample.clamp(0, 1).cpu(), grid.slice_shape)
                    # Air has no contrast to translate, but the scan's own noise.
                    samples.append(torch.where(heads[batch], translated, source[batch]))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                batch_size = self._smaller(len(batch))
                continue
            yield SliceBatch(batch, torch.stack(samples))
            clock.finish(len(batch))
            indices = indices[len(batch) :]

    def _sample(
        self,
        source: Tensor,
        number: int,
        options: TranslationOptions,
    ) -> Iterator[Tensor]:
        sampler, _ = options.solver()
        shape = padded_shape((source.shape[-2], source.shape[-1]), self.network.settings.stride)
        # Neighbouring slices that start from one noise end alike: the volume flickers less from slice to slice.
        noise = SliceNoise([_noise_seed(options.seed, number)] * len(source), shape, self.device)
        start = self._start(pad_to(source, shape).to(self.device), sample_view(number), noise, options)
        return sampler.solve(start.denoise, start.state, start.noise_levels, draw_noise=noise)

    def _start(self, source: Tensor, view: View, noise: SliceNoise, options: TranslationOptions) -> SamplingStart:
        """From pure noise, steered by a view of the source (B, 1, H, W)."""
        _, steps = options.solver()
        levels = self.checkpoint.sde.noise_levels(steps)
        condition = self.checkpoint.condition
        denoise = conditional_denoiser(self.network, condition, view.of(source), guidance=options.guidance)
        return SamplingStart(view.unflipped(denoise), noise() * levels[0].item(), levels)

    def _smaller(self, batch_size: int) -> int:
        if batch_size == 1:
            way_out = "free some" if self.device.type == "cpu" else "free some or choose --device cpu"
            raise OutOfMemory(f"The {self.device.type} device has too little memory for one slice; {way_out}.")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return batch_size // 2


class _Enlargement:
    """Takes translated slices to the pixels of the source's own grid, with its detail where these are finer."""

    def __init__(self, grid: AxialGrid, source: NDArray[np.float32]) -> None:
        self._grid = grid
        self._fine_guide = grid.plane_slices(source)

    def __call__(self, images: Tensor, indices: list[int]) -> Tensor:
        grid = self._grid
        if not all(fine > coarse for fine, coarse in zip(grid.plane_shape, grid.slice_shape, strict=True)):
            return grid.to_plane(images)
        fine_guide = self._fine_guide[indices]
        return guided_upsampling(images, grid.to_slices(fine_guide), fine_guide)


@dataclass(frozen=True)
class SamplingStart:
    """What a solver is given: the denoiser, the noisy slices (B, 1, H, W) and the noise levels, theirs first."""

    denoise: Denoiser
    state: Tensor
    noise_levels: Tensor


@dataclass(frozen=True)
class SliceBatch:
    """Translated slices on the checkpoint's grid.

    Attributes:
        indices: which axial slices, from the feet up.
        samples: (K, B, 1, H, W) in [0, 1], one for each of K samples.
    """

    indices: list[int]
    samples: Tensor


def _noise_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> np.uint64(1))
