"""`train-cyclegan`: from target-modality scans and a few of the source modality to the checkpoint of a CycleGAN.

The one training that is given scans of the source modality, because its method needs them. They need not be of the
subjects of the target scans, nor registered to anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional

from ...images.slice_grid import pad_to
from ...training.augmentation import SliceBatch
from ...training.augmentation.random_streams import SliceDraws, step_draws
from ...training.augmentation.spatial import Geometry
from ...training.data.dataset import find_subjects, read_slices
from ...training.options import DataOptions, FitOptions
from ...training.trainer import inner, read_split, resume_file
from ..cyclegan import KIND, GeneratorSettings, PatchDiscriminator, ResidualGenerator, cyclegan_settings
from .image_pool import ImagePool
from .trainer import RivalTraining, fit_rival

# Of the generators' loss, beside the discriminators' opinion.
_CYCLE, _IDENTITY = 10.0, 5.0
_POOL_SIZE = 50
_ADAM_BETAS = (0.5, 0.999)
# The sources have no brain masks, and the discriminators would tell a stripped slice from a whole one.
_GEOMETRY = Geometry(skull_stripping=0.0)

_TARGET, _SOURCE = "target", "source"
_OTHER = {_TARGET: _SOURCE, _SOURCE: _TARGET}

DEFAULT_FIT = FitOptions(batch_size=1, learning_rate=2e-4)
"""As in Zhu et al."""


@dataclass(frozen=True)
class CycleGANOptions:
    """What is trained on what, and what its checkpoint says of itself.

    Attributes:
        source_scans: folder of scans of the source modality.
        source_modality: they are named NAME_<modality>.nii[.gz].
        name: of the exported checkpoint file.
        generator: shape of both generators.
        discriminator_features: of the first layer of both discriminators.
        training_data: what the data are.
        licence: of the weights.
    """

    source_scans: Path
    source_modality: str
    name: str = KIND
    generator: GeneratorSettings = GeneratorSettings()
    discriminator_features: int = 32
    training_data: str = ""
    licence: str = ""


def train_cyclegan(
    data: Path,
    output: Path,
    options: CycleGANOptions,
    *,
    reading: DataOptions = DataOptions(),
    fit: FitOptions = DEFAULT_FIT,
    resume: bool = False,
) -> Path:
    """Train, or go on training, and export the checkpoint.

    Args:
        data: folder of target-modality scans.
        output: folder for logs, pictures and the checkpoint.
        options: what is trained, and on which sources.
        reading: what is read of `data`; the pixels of the sources are of the same size.
        fit: how it is trained.
        resume: go on where the training in `output` was stopped.

    Returns:
        Path of the exported checkpoint.

    Raises:
        UserError: the data cannot be used, or the output folder holds another training.
    """
    resume_from = resume_file(output, resume=resume)
    lightning.seed_everything(fit.seed, verbose=False)
    stride = ResidualGenerator.stride
    slices = read_split(data, reading, stride=stride)
    subjects = find_subjects(options.source_scans, modality=options.source_modality, brain_suffix=reading.brain_suffix)
    sources = read_slices(subjects, pixel_size=reading.pixel_size, stride=stride).images()
    return fit_rival(
        CycleGANTraining(sources, slices[0][0].images.shape, options, fit),
        slices,
        output / f"{options.name}.safetensors",
        reading=reading,
        fit=fit,
        resume_from=resume_from,
        training_data=options.training_data,
        licence=options.licence,
    )


class CycleGANTraining(RivalTraining):
    """Trains two generators, there and back, against two discriminators, on slices that are not paired.

    Both sides of a step are computed before either is stepped, as in Zhu et al.: generators see discriminators that do
    not learn from them, discriminators see images that do not lead back to the generators. So one optimizer does it.
    """

    kind = KIND

    def __init__(self, sources: Tensor, target_shape: torch.Size, options: CycleGANOptions, fit: FitOptions) -> None:
        """
        Args:
            sources: all slices (N, 1, H, W) of the source modality, in [0, 1].
            target_shape: of the target slices, (..., H, W), which may be another.
            options: what is trained.
            fit: how.
        """
        super().__init__()
        # On canvases of one size nobody can tell the modalities apart by the amount of air.
        shape = (max(sources.shape[-2], target_shape[-2]), max(sources.shape[-1], target_shape[-1]))
        self.shape = shape
        self.sources = pad_to(sources, shape)
        self.generators = nn.ModuleDict({side: ResidualGenerator(options.generator) for side in _OTHER})
        self.discriminators = nn.ModuleDict(
            {side: PatchDiscriminator(options.discriminator_features) for side in _OTHER}
        )
        self.pools = nn.ModuleDict({side: ImagePool(_POOL_SIZE, shape) for side in _OTHER})
        self.source_modality = options.source_modality
        self.fit = fit

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam whose rate stays for half the steps and falls to 0 in the other half."""
        optimizer = torch.optim.Adam(self.parameters(), self.fit.learning_rate, betas=_ADAM_BETAS)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 * (1 - step / self.fit.steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: SliceBatch, batch_index: int) -> Tensor:
        """Losses of the generators and of the discriminators."""
        draws = step_draws(self, self.fit.seed, self.global_step)
        with torch.autocast(self.device.type, enabled=False):
            real = self._real(batch, draws)
        generating, generated = self._generators_loss(real)
        old = {side: self.pools[side](images.detach(), draws) for side, images in generated.items()}
        discriminating = self._discriminators_loss(real, old)
        self.log_dict({"train/generators": generating, "train/discriminators": discriminating}, prog_bar=True)
        return generating + discriminating

    def _real(self, batch: SliceBatch, draws: SliceDraws) -> dict[str, Tensor]:
        """Slices of both sides, moved; any sources, because nothing is paired."""
        places = (draws.uniform(batch.images) * len(self.sources)).long().cpu()
        slices = {_TARGET: pad_to(batch.images, self.shape), _SOURCE: self.sources[places].to(self.device)}
        return {side: _GEOMETRY.move(each, torch.ones_like(each), draws)[0] for side, each in slices.items()}

    def _generators_loss(self, real: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and what was generated of each side."""
        losses: list[Tensor] = []
        generated: dict[str, Tensor] = {}
        for side, other in _OTHER.items():
            generated[side] = self.generators[side](real[other])
            losses.append(_CYCLE * functional.l1_loss(self.generators[other](generated[side]), real[other]))
            losses.append(_IDENTITY * functional.l1_loss(self.generators[side](real[side]), real[side]))
            with _frozen(self.discriminators[side]) as discriminator:
                losses.append((discriminator(generated[side]) - 1).square().mean())
        return torch.stack(losses).sum(), generated

    def _discriminators_loss(self, real: dict[str, Tensor], generated: dict[str, Tensor]) -> Tensor:
        losses: list[Tensor] = []
        for side, discriminator in self.discriminators.items():
            losses.append((discriminator(real[side]) - 1).square().mean() / 2)
            losses.append(discriminator(generated[side]).square().mean() / 2)
        return torch.stack(losses).sum()

    def validation_step(self, batch: SliceBatch, batch_index: int) -> None:
        """How far held-out target slices come back changed from the source modality: the one thing there is to know."""
        images = pad_to(batch.images, self.shape)
        _, back = self._there_and_back(images, _TARGET)
        self.log("validation/cycle", functional.l1_loss(back, images), sync_dist=True)

    def _there_and_back(self, images: Tensor, side: str) -> tuple[Tensor, Tensor]:
        there = self.generators[_OTHER[side]](images)
        return there, self.generators[side](there)

    def translator(self) -> nn.Module:
        return self.generators[_TARGET]

    def settings(self) -> dict[str, Any]:
        generator = self.generators[_TARGET]
        assert isinstance(generator, ResidualGenerator)
        return cyclegan_settings(generator, self.source_modality)

    def pictures(self, batch: SliceBatch) -> list[Tensor]:
        """Sources, there and back; held-out targets, there and back."""
        places = inner(len(batch.images), size=len(self.sources))
        rows: list[Tensor] = []
        for side, images in ((_SOURCE, self.sources[places].to(self.device)), (_TARGET, batch.images)):
            padded = pad_to(images, self.shape)
            rows += [padded, *self._there_and_back(padded, side)]
        return rows


@contextlib.contextmanager
def _frozen(module: nn.Module) -> Iterator[nn.Module]:
    """A module through which gradients pass without reaching its parameters."""
    module.requires_grad_(False)
    try:
        yield module
    finally:
        module.requires_grad_(True)
