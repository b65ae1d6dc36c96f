"""Draws: slices that fit a source, each generated in several steps from noise.

The translation is the mean of all slices that fit the source. Draws are some of these slices: their distance from the
translation tells its expected error, and one of them shows the sharpness of a scan, with details that the model makes
up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..images.planes import AXIAL
from ..interface.progress import Progress
from .head_box import HeadBox
from .multiplanar import PlaneSamples, own_plane
from .options import TranslationOptions
from .running_moments import RunningMoments
from .sliced_volume import SlicedVolume
from .translate_volume import air_beyond, clock_of, head_part, mask_of_slices, plane_moments
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
    drawing = _Drawing.of_head(source, translator, options)
    if count is not None:
        drawing = dataclasses.replace(drawing, indices=_spread(drawing.indices, count))
    moments = drawing.draw(translator, _with(options, ERROR_DRAWS), on_progress)
    error = drawing.error(moments, translation)
    return drawing.box.put_back(error), drawing.mean_over_head(error)


def draw_sample(
    source: SlicedVolume,
    translator: Translator,
    options: TranslationOptions,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> NDArray[np.float32]:
    """Return one draw in the plane of the scan's own slices, (I, J, K) in [0, 1]; arguments as of `error_map`."""
    drawing = _Drawing.of_head(source, translator, options)
    moments = drawing.draw(translator, _with(options, SAMPLE_DRAWS), on_progress)
    drawn = drawing.box.put_back(moments.mean * drawing.asked)
    return drawn + air_beyond(drawing.box, source, source.head_slices(options.slices))


def error_of_slices(
    source: SlicedVolume,
    indices: list[int],
    translation: NDArray[np.number],
    translator: Translator,
    options: TranslationOptions,
) -> NDArray[np.float32]:
    """Return the expected error of some axial slices of a translation, as `error_map`."""
    drawing = _Drawing.of_slices(source, indices)
    moments = drawing.draw(translator, _with(options, ERROR_DRAWS), lambda progress: None)
    return drawing.box.put_back(drawing.error(moments, translation))


@dataclass(frozen=True)
class _Drawing:
    """Slices to draw in the box about the head, where the translation was made.

    Attributes:
        box: about the head.
        part: what lies in the box, in axial slices.
        asked: 1 in the translated voxels of the box, 0 in others.
        plane: in which is drawn.
        indices: slices of the box in that plane.
    """

    box: HeadBox
    part: SlicedVolume
    asked: NDArray[np.float32]
    plane: str
    indices: list[int]

    @classmethod
    def of_slices(cls, source: SlicedVolume, indices: list[int]) -> _Drawing:
        """Return the drawing of some axial slices of a volume."""
        box, part, in_part = head_part(source, indices)
        return cls(box, part, mask_of_slices(part, in_part), AXIAL, in_part)

    @classmethod
    def of_head(cls, source: SlicedVolume, translator: Translator, options: TranslationOptions) -> _Drawing:
        """Return the drawing of all slices of the head in the plane of the scan's own slices."""
        axial = cls.of_slices(source, source.head_slices(options.slices))
        plane = own_plane(axial.part, translator.planes, options)
        if plane == AXIAL:
            return axial
        return dataclasses.replace(axial, plane=plane, indices=axial.part.head_slices_in(plane))

    def draw(
        self, translator: Translator, options: TranslationOptions, on_progress: Callable[[Progress], None]
    ) -> RunningMoments:
        """Return the moments of the draws, on the grid of the box."""
        samples = PlaneSamples(self.plane, self.indices, options.samples)
        clock = clock_of([samples], steps=translator.steps(options))
        return plane_moments(self.part, samples, translator, options, clock, on_progress=on_progress)

    def error(self, moments: RunningMoments, translation: NDArray[np.number]) -> NDArray[np.float32]:
        """Return the expected error in the box of a translation (I, J, K) of the volume."""
        distance = moments.distance_from(self.box.cut(translation.astype(np.float32)))
        return (ERROR_FACTOR * distance * self.asked).astype(np.float32)

    def mean_over_head(self, error: NDArray[np.float32]) -> float:
        """Return the mean over the head in the drawn slices, as far as it was scanned, of an error in the box."""
        in_plane = self.part.in_plane(self.plane)
        scanned = self.box.cut(np.ones(self.box.shape, np.float32))
        inside = in_plane.outlines(self.indices).numpy() & (in_plane.grid.slices(scanned)[self.indices].numpy() >= 0.5)
        return float(in_plane.grid.slices(error)[self.indices].numpy()[inside].mean())


def _with(options: TranslationOptions, draws: TranslationOptions) -> TranslationOptions:
    return dataclasses.replace(options, sampler=draws.sampler, steps=draws.steps, samples=draws.samples)


def _spread(indices: list[int], count: int) -> list[int]:
    """Return so many indices evenly from within, without the ends of the head."""
    places = (np.arange(count) + 0.5) / count * len(indices)
    return [indices[int(place)] for place in dict.fromkeys(places.astype(int).tolist())]
