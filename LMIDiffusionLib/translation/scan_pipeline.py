"""The pipeline of one scan: read, check, scale, slice, translate, draw, segment.

The command line, the worker, cohorts, benchmarks and Python all call `translate_scan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UserError
from ..images.masks import as_mask
from ..images.plausibility import check_plausibility
from ..images.volume import Volume, VolumeLike, as_scan, place_of
from ..interface.events import ClassVolume, Event, Stage
from ..interface.notices import Notices, warn
from ..interface.progress import Progress
from ..interface.resources import DEFAULT_CHECKPOINT
from ..model.checkpoint import Checkpoint
from ..segmentation.brain_extraction import check_brain_finder, find_brain
from ..segmentation.classes import Segmentation
from .draws import FEW_SLICES, draw_sample, error_map
from .label_map import check_classes, class_volumes, segment
from .lmi_diffusion import DiffusionTranslator, LMIDiffusion
from .options import Extra, TranslationOptions
from .pixel_size import choose_pixel_size
from .sliced_volume import SlicedVolume
from .translate_volume import translate_head
from .translator import Translator

FOUND: Literal["found"] = "found"
"""In place of a mask: find the brain in the translation."""


@dataclass(frozen=True)
class SegmentationSettings:
    """Settings of the segmentation of a translation.

    Attributes:
        mask: of the brain, on any grid, or `FOUND` to find the brain in the translation; makes tissues of the classes.
        clusters: K-Means classes without a mask; None for the most that the checkpoint knows.
    """

    mask: VolumeLike | Literal["found"] | None = None
    clusters: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.mask, str) and self.mask != FOUND and not Path(self.mask).exists():
            raise UserError(f'does not exist; give the path of a mask, or "{FOUND}".', place=self.mask)


@dataclass(frozen=True)
class ScanSettings:
    """Settings of the translation and segmentation of a scan.

    Attributes:
        checkpoint: model whose pixel size, classes and tissues are used.
        options: of the translation.
        segmentation: of the translation; None for no label map.
        extras: results that take draws; they leave the translation as it is.
    """

    checkpoint: Checkpoint
    options: TranslationOptions = TranslationOptions()
    segmentation: SegmentationSettings | None = None
    extras: frozenset[Extra] = frozenset()

    def check(self) -> None:
        """Find what cannot work before minutes are spent.

        Raises:
            UserError: the checkpoint does not know the classes, or settings exclude each other.
        """
        wanted = self.segmentation
        if wanted is None:
            return
        brain_from = None if wanted.mask is None else "--find-brain" if wanted.mask == FOUND else "the mask"
        if brain_from is not None and wanted.clusters not in (None, 3):
            raise UserError(f"A brain gives three tissues; leave out {brain_from} or --clusters {wanted.clusters}.")
        if wanted.mask == FOUND:
            if self.options.slices is not None:
                raise UserError("The brain is found in whole volumes alone; leave out --find-brain or --slices.")
            check_brain_finder()
        check_classes(self.checkpoint, clusters=wanted.clusters, brain_from=brain_from)


@dataclass(frozen=True)
class ScanResult:
    """A translated scan; all volumes lie on the source's grid.

    Attributes:
        volume: target-modality intensities in [0, 1], float32; 0 in slices outside the head or the chosen range.
        segmentation: classes or tissues; None if no label map was asked for.
        uncertainty: expected error in the units of `volume`, float32; None unless `Extra.EXPECTED_ERROR` is asked for.
        volumes: of the classes or tissues.
        notices: facts about the scan and its mask that the user should know.
        expected_error: mean over the head; None unless one of the expected errors is asked for.
        sample: one draw in [0, 1], float32; None unless `Extra.SAMPLE` is asked for.
    """

    volume: Volume
    segmentation: Segmentation | None
    uncertainty: Volume | None
    volumes: tuple[ClassVolume, ...]
    notices: Notices
    expected_error: float | None = None
    sample: Volume | None = None


@dataclass(frozen=True)
class PreparedScan:
    """A scan that is ready for translation.

    Attributes:
        volume: the source.
        sliced: its slices on the unit scale.
        brain: mask of the brain, if one was given.
        notices: facts about the scan and its mask.
    """

    volume: Volume
    sliced: SlicedVolume
    brain: NDArray[np.bool_] | None
    notices: Notices


def _ignore(event: Event) -> None:
    pass


def _accept(volume: Volume) -> None:
    pass


def translate_scan(
    scan: VolumeLike,
    translator: Translator,
    settings: ScanSettings,
    *,
    check: Callable[[Volume], None] = _accept,
    report: Callable[[Event], None] = _ignore,
) -> ScanResult:
    """Translate and segment a scan.

    Args:
        scan: a volume, an image of nibabel, a file, a folder of DICOM files, or one of several series in it.
        translator: generates the slices.
        settings: of translation and segmentation.
        check: called with the scan before minutes are spent; an exception that it raises ends the work.
        report: called with each stage, notice and progress; an exception that it raises ends the work.

    Raises:
        UserError: the settings, the scan or the mask cannot be used, or memory runs out.
    """
    settings.check()
    report(Stage.READING)
    prepared = prepare_scan(scan, settings)
    check(prepared.volume)
    for notice in prepared.notices:
        report(notice)
    return translate_prepared(prepared, translator, settings, report=report)


def prepare_scan(scan: VolumeLike, settings: ScanSettings) -> PreparedScan:
    """Read, check, scale and slice a scan, and read its mask: all that needs no network.

    Raises:
        UserError: the scan or the mask cannot be used.
    """
    volume, notices = as_scan(scan)
    place = place_of(scan)
    notices += check_plausibility(volume.array, place)
    mask = None if settings.segmentation is None else settings.segmentation.mask
    brain = None
    if mask is not None and mask != FOUND:
        brain, about_mask = as_mask(mask, volume)
        notices += about_mask
    pixel_size = choose_pixel_size(volume.affine, settings.checkpoint, settings.options)
    sliced = SlicedVolume.from_volume(volume, pixel_size=pixel_size)
    return PreparedScan(volume, sliced, brain, notices + tuple(each.at(place) for each in sliced.notices))


def translate_prepared(
    prepared: PreparedScan,
    translator: Translator,
    settings: ScanSettings,
    *,
    report: Callable[[Event], None] = _ignore,
) -> ScanResult:
    """Translate and segment a prepared scan; as `translate_scan`."""
    wanted, source = settings.segmentation, prepared.volume
    report(Stage.TRANSLATING)
    moments = translate_head(prepared.sliced, translator, settings.options, on_progress=report)
    translated = source.with_array(moments.mean)
    uncertainty, error, sample = _extras(prepared, translated, translator, settings, report)
    report(Stage.SEGMENTING)
    if wanted is None:
        return ScanResult(translated, None, uncertainty, (), prepared.notices, error, sample)
    brain = find_brain(translated) if wanted.mask == FOUND else prepared.brain
    segmentation = segment(translated, settings.checkpoint, clusters=wanted.clusters, brain=brain)
    volumes = class_volumes(segmentation, source)
    return ScanResult(translated, segmentation, uncertainty, volumes, prepared.notices, error, sample)


def _extras(
    prepared: PreparedScan,
    translated: Volume,
    translator: Translator,
    settings: ScanSettings,
    report: Callable[[Event], None],
) -> tuple[Volume | None, float | None, Volume | None]:
    """Return the map of the expected error, its mean and a sample, each None unless it is asked for."""
    asked, source, sliced, options = settings.extras, prepared.volume, prepared.sliced, settings.options
    uncertainty, error, sample = None, None, None
    if asked & {Extra.EXPECTED_ERROR, Extra.MEAN_EXPECTED_ERROR}:
        report(Stage.DRAWING)
        is_mapped = Extra.EXPECTED_ERROR in asked
        count = None if is_mapped else FEW_SLICES
        errors, error = error_map(sliced, translated.array, translator, options, count=count, on_progress=report)
        uncertainty = source.with_array(errors) if is_mapped else None
    if Extra.SAMPLE in asked:
        report(Stage.DRAWING)
        sample = source.with_array(draw_sample(sliced, translator, options, on_progress=report))
    return uncertainty, error, sample


def translate(
    scan: VolumeLike,
    model: Checkpoint | DiffusionTranslator | str | Path = DEFAULT_CHECKPOINT,
    options: TranslationOptions | str = TranslationOptions(),
    *,
    extras: Iterable[Extra] = (),
    device: torch.device | str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> ScanResult:
    """Translate a scan to the modality of a model, with a `ScanWarning` for each notice about the scan.

    Args:
        scan: a volume, an image of nibabel, a file, a folder of DICOM files, or one of several series in it; of any
            contrast, orientation, spacing, intensity scale and real dtype.
        model: a checkpoint, its name or its path; or a translator that has been built from one, for several scans.
        options: of the translation, or the name of a preset such as "fast".
        extras: results that take draws: an expected error, a sample.
        device: to compute on, unless the translator has its own; as `select_device` takes it.
        on_progress: called after every step; an exception that it raises ends the translation.

    Raises:
        UserError: the scan or the model cannot be used, or one slice needs too much memory.
    """
    translator = model
    if not isinstance(translator, DiffusionTranslator):
        translator = LMIDiffusion(translator, device=device, precision="auto")

    def report(event: Event) -> None:
        if isinstance(event, Progress):
            on_progress(event)

    chosen = TranslationOptions.from_preset(options) if isinstance(options, str) else options
    settings = ScanSettings(translator.checkpoint, chosen, extras=frozenset(extras))
    result = translate_scan(scan, translator, settings, report=report)
    warn(result.notices)
    return result
