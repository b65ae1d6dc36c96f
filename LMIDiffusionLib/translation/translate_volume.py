"""Translation of a source volume to the target modality of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError
from ..images.volume import Volume
from ..interface.progress import Clock, Progress
from ..model.checkpoint import Checkpoint
from ..model.devices import select_device, select_precision
from .batching import in_batches
from .interleaving import StaggeredSample, Staggering
from .lmi_diffusion import LMIDiffusion
from .multiplanar import Cut, cuts
from .options import TranslationOptions
from .running_moments import Moments
from .sliced_volume import SlicedSource
from .translator import Method


@dataclass(frozen=True)
class Translation:
    """A translated volume on the source's grid, float32.

    Attributes:
        volume: target-modality intensities in [0, 1]; 0 in slices outside the head or the chosen range.
        uncertainty: standard deviation over the samples; None for a single one.
    """

    volume: Volume
    uncertainty: Volume | None


@dataclass(frozen=True)
class SliceBatch:
    """Translated slices of a plane on the checkpoint's grid.

    Attributes:
        indices: which slices.
        samples: (K, B, 1, H, W) in [0, 1], one for each of K samples.
    """

    indices: list[int]
    samples: Tensor


def _ignore(progress: Progress) -> None:
    pass


def translate(
    volume: Volume,
    checkpoint: Checkpoint,
    options: TranslationOptions = TranslationOptions(),
    *,
    method: Method | None = None,
    on_progress: Callable[[Progress], None] = _ignore,
) -> Translation:
    """Translate a volume to a checkpoint's modality, slice by slice (eq. 3 of arXiv 2404.01102).

    Args:
        volume: the source, of any contrast, orientation, spacing, intensity scale and real dtype.
        checkpoint: of the target modality.
        options: how.
        method: which draws them; None for LMIDiffusion on the best device there is, in its `auto` precision.
        on_progress: called after every step; what it raises ends the translation.

    Raises:
        UserError: the volume cannot be sliced, the slice range lies outside it, no head is found in it, or one slice
            needs too much memory.
        ValueError: the volume is constant.
    """
    source = SlicedSource.of(volume, pixel_size=checkpoint.pixel_size)
    if method is None:
        device = select_device("auto")
        method = LMIDiffusion(checkpoint, device=device, precision=select_precision("auto", device))
    return translate_source(source, volume, method, options, on_progress=on_progress)


def translate_source(
    source: SlicedSource,
    volume: Volume,
    method: Method,
    options: TranslationOptions = TranslationOptions(),
    *,
    on_progress: Callable[[Progress], None] = _ignore,
) -> Translation:
    """As `translate`, of a volume that has been sliced already.

    Raises:
        UserError: the slice range lies outside the volume, no head is found in it, or one slice needs too much memory.
    """
    indices = source.head_slices(options.slices)
    if not indices:
        place = "the volume" if options.slices is None else "these slices"
        raise UserError(f"No head was found in {place}; give a scan of a head that shows more of it.")
    moments = translate_slices(source, indices, method, options, on_progress=on_progress)
    uncertainty = volume.with_array(moments.deviation()) if options.samples > 1 else None
    return Translation(volume.with_array(moments.mean), uncertainty)


def translate_slices(
    source: SlicedSource,
    indices: list[int],
    method: Method,
    options: TranslationOptions = TranslationOptions(),
    *,
    on_progress: Callable[[Progress], None] = _ignore,
) -> Moments:
    """Of all samples of some axial slices, on the volume's grid; elsewhere there are none, and their mean is 0.

    Samples in other planes are drawn of the whole volume.
    """
    found = cuts(source, indices, method.planes, options)
    clock = Clock(
        slices=sum(len(cut.indices) for cut in found),
        steps=method.steps(options),
        samples=sum(len(cut.indices) * cut.samples for cut in found),
    )
    moments = Moments.of_none(source.scaled.shape)
    for cut in found:
        moments.merge(_moments(source.in_plane(cut.plane), cut, method, options, clock, on_progress))
    asked = torch.zeros(source.grid.slice_count, 1, 1, 1)
    asked[indices] = 1
    inside = source.grid.volume(asked.expand(-1, 1, *source.grid.plane_shape))
    return Moments(*(each * inside for each in vars(moments).values()))


def _moments(
    source: SlicedSource,
    cut: Cut,
    method: Method,
    options: TranslationOptions,
    clock: Clock,
    on_progress: Callable[[Progress], None],
) -> Moments:
    """Of the samples of a cut, on the volume's own pixels: a standard deviation cannot be resampled."""
    grid = source.grid
    count, mean, squares = torch.zeros(3, grid.slice_count, 1, *grid.plane_shape)
    count[cut.indices] = cut.samples
    for batch in draw(source, cut, method, options, clock, on_progress=on_progress):
        samples = source.enlarged(batch.samples[:, :, 0].transpose(0, 1), batch.indices)
        mean[batch.indices] = samples.mean(1, keepdim=True)
        squares[batch.indices] = samples.sub_(mean[batch.indices]).square_().sum(1, keepdim=True)
    return Moments(*(grid.volume(each) for each in (count, mean, squares)))


def draw(
    source: SlicedSource,
    cut: Cut,
    method: Method,
    options: TranslationOptions,
    clock: Clock,
    *,
    on_progress: Callable[[Progress], None] = _ignore,
) -> Iterator[SliceBatch]:
    """The samples of a cut of a source, which is in its plane, in batches on the checkpoint's grid.

    Slices thinner than the checkpoint's pixels are wide are drawn in some of the samples (`staggering`).
    """

    def on_step() -> None:
        on_progress(clock.step())

    def sample(indices: list[int], number: int) -> Tensor:
        if indices:
            return method.sample(source, indices, number=number, options=options, on_step=on_step)
        for _ in range(clock.steps):
            on_step()
        return source.slices[:0]

    staggering = Staggering.of(source, samples=cut.samples, of_all=options.samples)
    samples = [StaggeredSample(staggering, source, number=number, draw=sample) for number in range(cut.samples)]

    def work(batch: list[int]) -> Tensor:
        clock.begin(len(batch), samples=len(samples))
        return torch.stack([each.of(batch) for each in samples])

    size = (options.batch_size or method.batch_size) * staggering.step
    for batch, images in in_batches(cut.indices, work, size=size, device=method.device):
        clock.finish()
        yield SliceBatch(batch, images)
