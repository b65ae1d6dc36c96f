"""Draws: slices that fit a source, each generated in several steps from noise.

The translation is the mean of all slices that fit the source. Draws are some of these slices: their distance from the
translation tells its expected error, and one of them shows the sharpness of a scan, with details that the model makes
up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..interface.progress import Progress
from .multiplanar import PlaneSamples, own_plane
from .options import TranslationOptions
from .running_moments import RunningMoments
from .sliced_volume import SlicedVolume
from .translate_volume import clock_of, mask_of_slices, plane_moments
from .translator import Translator

ERROR_DRAWS = TranslationOptions(steps=4, samples=8)
"""Number of draws for the expected error, and steps of each."""
SAMPLE_DRAWS = TranslationOptions(steps=16, samples=1)
"""Steps of the one draw for looking."""
ERROR_FACTOR = 1.95
"""Expected error by the distance of the draws from the translation: 93.5 % of errors are below twice as much."""
ERROR_FITTED_ON = "three axial slices of each of seven pairs used for choices (docs/tables.md), by the default model"
"""Data that the factor was fitted on; `benchmark quality --expected-error` prints the factor that fits other pairs."""
FEW_SLICES = 8
"""Number of slices of which the mean expected error of a scan is computed where no map is asked for."""


def error_map(
    source: SlicedVolume,
    translation: NDArray[np.number],
    translator: Translator,
    options: TranslationOptions,
    *,
    count: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[NDArray[np.float32], float]:
    """Return the expected error of a translation, and its mean over the head.

    The expected error of a voxel is the root mean square distance of the draws from the translation, times
    `ERROR_FACTOR`.

    Args:
        source: in axial slices.
        translation: (I, J, K) in [0, 1].
        translator: generates the draws.
        options: of the translation; its guidance, seed, batch size and range of slices are used.
        count: number of slices to draw, evenly through the head; None for all.
        on_progress: called after every step; an exception that it raises ends the work.

    Returns:
        (I, J, K) in the translation's units, 0 where nothing was drawn, and a number.
    """
    part = _part(source, translator, options, samples=ERROR_DRAWS.samples)
    if count is not None:
        part = dataclasses.replace(part, indices=_spread(part.indices, count))
    moments = _draw(source, part, translator, _with(options, ERROR_DRAWS), on_progress)
    translated = mask_of_slices(source, source.head_slices(options.slices))
    error = (ERROR_FACTOR * moments.distance_from(translation) * translated).astype(np.float32)
    in_plane = source.in_plane(part.plane)
    inside = in_plane.outlines(part.indices).numpy()
    return error, float(in_plane.grid.slices(error)[part.indices].numpy()[inside].mean())


def draw_sample(
    source: SlicedVolume,
    translator: Translator,
    options: TranslationOptions,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> NDArray[np.float32]:
    """Return one draw in the plane of the scan's own slices, (I, J, K) in [0, 1]; arguments as of `error_map`."""
    part = _part(source, translator, options, samples=SAMPLE_DRAWS.samples)
    return _draw(source, part, translator, _with(options, SAMPLE_DRAWS), on_progress).mean


def error_of_slices(
    source: SlicedVolume,
    indices: list[int],
    translation: NDArray[np.number],
    translator: Translator,
    options: TranslationOptions,
) -> NDArray[np.float32]:
    """Return the expected error of some axial slices of a translation, as `error_map`."""
    part = PlaneSamples(source.grid.plane, indices, ERROR_DRAWS.samples)
    moments = _draw(source, part, translator, _with(options, ERROR_DRAWS), lambda progress: None)
    return (ERROR_FACTOR * moments.distance_from(translation)).astype(np.float32)


def _with(options: TranslationOptions, draws: TranslationOptions) -> TranslationOptions:
    return dataclasses.replace(options, sampler=draws.sampler, steps=draws.steps, samples=draws.samples)


def _part(source: SlicedVolume, translator: Translator, options: TranslationOptions, *, samples: int) -> PlaneSamples:
    plane = own_plane(source, translator.planes, options)
    indices = source.in_plane(plane).head_slices(options.slices)
    return PlaneSamples(plane, indices, samples)


def _spread(indices: list[int], count: int) -> list[int]:
    """Return so many indices evenly from within, without the ends of the head."""
    places = (np.arange(count) + 0.5) / count * len(indices)
    return [indices[int(place)] for place in dict.fromkeys(places.astype(int).tolist())]


def _draw(
    source: SlicedVolume,
    part: PlaneSamples,
    translator: Translator,
    options: TranslationOptions,
    on_progress: Callable[[Progress], None],
) -> RunningMoments:
    clock = clock_of([part], steps=translator.steps(options))
    return plane_moments(source, part, translator, options, clock, on_progress=on_progress)
