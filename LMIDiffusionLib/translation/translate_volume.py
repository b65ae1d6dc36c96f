"""Translation of a sliced volume: samples of all slices, planes and views, and their moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from ..images.air import smooth_air
from ..interface.progress import Clock, Progress
from ..model.batching import in_batches
from .guided_upsampling import to_plane_pixels
from .head_box import HeadBox
from .interleaving import InterleavedSample, Interleaving
from .multiplanar import PlaneSamples, share_samples
from .options import TranslationOptions
from .running_moments import RunningMoments
from .sliced_volume import SlicedVolume
from .translator import Translator


@dataclass(frozen=True)
class PlaneBatch:
    """Translated slices of a plane on the checkpoint's grid.

    Attributes:
        indices: of the slices.
        samples: (K, B, 1, H, W) in [0, 1], one image of each slice for each of K samples.
    """

    indices: list[int]
    samples: Tensor


def _ignore(progress: Progress) -> None:
    pass


def translate_head(
    source: SlicedVolume,
    translator: Translator,
    options: TranslationOptions = TranslationOptions(),
    *,
    on_progress: Callable[[Progress], None] = _ignore,
) -> RunningMoments:
    """Translate all slices of a volume, or of the chosen range, that show some of the head.

    Returns:
        Moments of all samples on the volume's grid; 0 in slices outside the head or the range.

    Raises:
        UserError: the slice range lies outside the volume, no head is found in it, or one slice needs too much memory.
    """
    indices = source.head_slices(options.slices)
    if not indices:
        place = "the volume" if options.slices is None else "these slices"
        raise UserError(f"No head was found in {place}; give a scan of a head that shows more of it.")
    return translate_about_head(source, indices, translator, options, on_progress=on_progress)


def translate_about_head(
    source: SlicedVolume,
    indices: list[int],
    translator: Translator,
    options: TranslationOptions = TranslationOptions(),
    *,
    on_progress: Callable[[Progress], None] = _ignore,
) -> RunningMoments:
    """Translate some axial slices of the head and a margin; the air beyond keeps the level that the source has there.

    Arguments and result are those of `translate_slices`.
    """
    box, part, in_part = head_part(source, indices)
    moments = translate_slices(part, in_part, translator, options, on_progress=on_progress)
    found = RunningMoments(*(box.put_back(each) for each in vars(moments).values()))
    found.mean += air_beyond(box, source, indices)
    return found


def head_part(source: SlicedVolume, indices: list[int]) -> tuple[HeadBox, SlicedVolume, list[int]]:
    """Return the box about the head of a volume, what lies in it, and the numbers that some axial slices have there."""
    asked = mask_of_slices(source, indices)
    box = HeadBox.about(source, asked)
    part = box.part_of(source)
    return box, part, part.grid.plane_slices(box.cut(asked)).amax((1, 2, 3)).nonzero().flatten().tolist()


def air_beyond(box: HeadBox, source: SlicedVolume, indices: list[int]) -> NDArray[np.float32]:
    """Return a volume with the smooth air that some slices have beyond a box about the head, and 0 elsewhere."""
    inside, grid = box.inside, source.grid
    if not (source.scaled * (1 - inside)).any():
        return np.zeros(source.scaled.shape, np.float32)
    slices, is_inside = (grid.to_slices(planes[indices]) for planes in (source.plane_slices, grid.plane_slices(inside)))
    air = smooth_air(slices, is_inside < 0.5, pixel_size=source.pixel_size)
    planes = torch.zeros(source.plane_slices.shape, dtype=torch.float32, device="cpu")
    planes[indices] = grid.to_plane(air)
    return (1 - inside) * grid.volume(planes)


def translate_slices(
    source: SlicedVolume,
    indices: list[int],
    translator: Translator,
    options: TranslationOptions = TranslationOptions(),
    *,
    on_progress: Callable[[Progress], None] = _ignore,
) -> RunningMoments:
    """Translate some axial slices (eq. 3 of arXiv 2404.01102).

    Samples in other planes are generated of the whole volume.

    Args:
        source: in axial slices.
        indices: of the slices.
        translator: generates the samples.
        options: of the translation.
        on_progress: called after every step; an exception that it raises ends the translation.

    Returns:
        Moments of all samples on the volume's grid; 0 in other slices.
    """
    parts = share_samples(source, indices, translator.planes, options)
    clock = clock_of(parts, steps=translator.steps(options))

    def moments_of(part: PlaneSamples) -> RunningMoments:
        return plane_moments(source, part, translator, options, clock, on_progress=on_progress)

    moments = moments_of(parts[0])
    for part in parts[1:]:
        moments.merge(moments_of(part))
    if all(part.plane == source.grid.plane for part in parts):
        return moments
    inside = mask_of_slices(source, indices)
    return RunningMoments(*(each * inside for each in vars(moments).values()))


def mask_of_slices(source: SlicedVolume, indices: list[int]) -> NDArray[np.float32]:
    """Return 1 in some slices of a volume and 0 in all others, (I, J, K)."""
    asked = torch.zeros(source.grid.slice_count, 1, 1, 1, dtype=torch.float32, device="cpu")
    asked[indices] = 1
    return source.grid.volume(asked.expand(-1, 1, *source.grid.plane_shape))


def clock_of(parts: Sequence[PlaneSamples], *, steps: int) -> Clock:
    """Return a clock that counts the slices of all parts, and so many steps of each sample."""
    return Clock(
        slices=sum(len(part.indices) for part in parts),
        steps=steps,
        samples=sum(len(part.indices) * part.samples for part in parts),
    )


def plane_moments(
    source: SlicedVolume,
    part: PlaneSamples,
    translator: Translator,
    options: TranslationOptions,
    clock: Clock,
    *,
    on_progress: Callable[[Progress], None] = _ignore,
) -> RunningMoments:
    """Generate the samples of a plane, and return their moments on the volume's grid.

    Args:
        source: in axial slices.
        part: plane, slices and number of samples.
        translator: generates the samples.
        options: of the translation.
        clock: counts slices and steps.
        on_progress: called after every step; an exception that it raises ends the work.
    """
    in_plane = source.in_plane(part.plane)
    batches = sample_batches(in_plane, part, translator, options, clock, on_progress=on_progress)
    return _moments(in_plane, part, batches)


def _moments(source: SlicedVolume, part: PlaneSamples, batches: Iterator[PlaneBatch]) -> RunningMoments:
    """Compute moments on the volume's own pixels: a mean square cannot be resampled."""
    grid = source.grid
    shape = (3, grid.slice_count, 1, *grid.plane_shape)
    count, mean, squares = torch.zeros(shape, dtype=torch.float32, device="cpu")
    count[part.indices] = part.samples
    for batch in batches:
        images, slices = batch.samples[:, :, 0].transpose(0, 1), batch.indices
        samples = to_plane_pixels(images, grid, source.slices[slices], source.plane_slices[slices])
        mean[slices] = samples.mean(1, keepdim=True)
        squares[slices] = samples.sub_(mean[slices]).square_().sum(1, keepdim=True)
    return RunningMoments(*(grid.volume(each) for each in (count, mean, squares)))


def sample_batches(
    source: SlicedVolume,
    part: PlaneSamples,
    translator: Translator,
    options: TranslationOptions,
    clock: Clock,
    *,
    on_progress: Callable[[Progress], None] = _ignore,
) -> Iterator[PlaneBatch]:
    """Generate the samples of a plane in batches on the checkpoint's grid.

    Thin slices are generated in some of the samples alone (`interleaving`).

    Args:
        source: in slices of the plane.
        part: slices and number of samples.
        translator: generates the samples.
        options: of the translation.
        clock: counts slices and steps.
        on_progress: called after every step.
    """

    def on_step() -> None:
        on_progress(clock.step())

    def generate(indices: list[int], number: int) -> Tensor:
        if indices:
            return translator.sample(source, indices, number=number, options=options, on_step=on_step)
        for _ in range(clock.steps):
            on_step()
        return source.slices[:0]

    interleaving = Interleaving.from_volume(source, samples=part.samples, samples_of_all_planes=options.samples)
    samples = [
        InterleavedSample(interleaving, source, number=number, generate=generate) for number in range(part.samples)
    ]

    def work(batch: list[int]) -> Tensor:
        clock.begin(len(batch), samples=len(samples))
        return torch.stack([each.images(batch) for each in samples])

    size = (options.batch_size or translator.batch_size) * interleaving.step
    for batch, images in in_batches(part.indices, work, size=size, device=translator.device):
        clock.finish()
        yield PlaneBatch(batch, images)
