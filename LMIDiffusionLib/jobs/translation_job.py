"""`translate`: from files to files, all of them or none."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from ..errors import ScanWarning, UserError
from ..images.dicom_series import Series
from ..images.files import VOLUME_ENDINGS, atomic_path, check_output, unused
from ..images.masks import read_mask
from ..images.plausibility import check_plausibility
from ..images.volume import read_volume, save_volume
from ..interface.events import Result, Stage
from ..interface.notices import warn
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.devices import Processor, select_device, select_precision
from ..segmentation.brain_extraction import check_brain_finder, find_brain
from ..segmentation.classes import Segmentation
from ..translation.label_map import check_classes, class_volumes, segment
from ..translation.lmi_diffusion import LMIDiffusion
from ..translation.options import TranslationOptions
from ..translation.translate_volume import Translation, translate
from .reporting import Reporter

FOUND: Literal["found"] = "found"


@dataclass(frozen=True)
class TranslationJob:
    """Which files to read and to write, and how to translate.

    Attributes:
        source: volume to translate: a file, a folder of DICOM files, or one of several series in it.
        output: where the translation goes.
        checkpoint: name or path.
        segmentation: where the label map goes, if wanted.
        mask: brain mask on the source's grid, or `FOUND` to find the brain in the translation; makes the segmentation
            one of tissues.
        clusters: K-Means classes without a mask; None for the most that the checkpoint knows.
        uncertainty: where the standard deviation over samples goes, if wanted.
        processor: device and precision.
        overwrite: replace existing files.
        options: of the translation itself.
    """

    source: Path | Series
    output: Path
    checkpoint: str
    segmentation: Path | None = None
    mask: Path | Literal["found"] | None = None
    clusters: int | None = None
    uncertainty: Path | None = None
    processor: Processor = Processor()
    overwrite: bool = False
    options: TranslationOptions = TranslationOptions()

    def run(self, reporter: Reporter, *, load: Callable[[str], Checkpoint] = load_checkpoint) -> Translation:
        """Translate, segment and write.

        Args:
            reporter: hears of every event.
            load: reads the checkpoint.

        Raises:
            UserError: something is wrong with the request, a file or the device; nothing has been written then.
        """
        start = time.monotonic()
        self._check_request()
        device = select_device(self.processor.device)
        precision = select_precision(self.processor.precision, device)
        reporter.report(Stage.READING)
        volume = read_volume(self.source)
        warn(check_plausibility(volume.array, self.source))
        brain = read_mask(self.mask, volume) if isinstance(self.mask, Path) else None
        reporter.report(Stage.LOADING)
        checkpoint = load(self.checkpoint)
        brain_from = None if self.mask is None else self._mask_option
        check_classes(checkpoint, clusters=self.clusters, brain_from=brain_from)
        reporter.report(Stage.TRANSLATING)
        method = LMIDiffusion(checkpoint, device=device, precision=precision)
        translation = translate(volume, checkpoint, self.options, method=method, on_progress=reporter.report)
        reporter.report(Stage.SEGMENTING)
        if self.mask == FOUND:
            brain = find_brain(translation.volume)
        segmentation = None
        if self.segmentation is not None:
            segmentation = segment(translation.volume, checkpoint, clusters=self.clusters, brain=brain)
        reporter.report(Stage.WRITING)
        job = self._at_free_paths()
        job._write(translation, segmentation)
        classes = () if segmentation is None else class_volumes(segmentation, volume)
        seconds = time.monotonic() - start
        reporter.report(Result(job.output, job.segmentation, job.uncertainty, classes, seconds))
        return translation

    def _check_request(self) -> None:
        """Find what cannot work before minutes are spent."""
        if self.mask is not None and self.segmentation is None:
            raise UserError(
                f"A mask only serves the segmentation; add --segmentation, or leave out {self._mask_option}."
            )
        if self.clusters is not None and self.segmentation is None:
            raise UserError("The number of clusters only serves the segmentation; add --segmentation.")
        if self.mask is not None and self.clusters not in (None, 3):
            raise UserError(
                f"A brain mask gives three tissues; leave out {self._mask_option} or --clusters {self.clusters}."
            )
        if self.mask == FOUND:
            self._check_finding()
        if self.uncertainty is not None and self.options.samples < 2:
            raise UserError("The uncertainty is the spread of several samples; add --samples 2 or more.")
        outputs = [path for path in (self.output, self.segmentation, self.uncertainty) if path is not None]
        named = [path.resolve() for path in (self.source, self.mask, *outputs) if isinstance(path, Path)]
        if len(set(named)) < len(named):
            raise UserError("Two of the given files are the same; give each input and output a path of its own.")
        for path in outputs:
            check_output(path, overwrite=self.overwrite, endings=VOLUME_ENDINGS)

    @property
    def _mask_option(self) -> str:
        return "--find-brain" if self.mask == FOUND else "--mask"

    def _check_finding(self) -> None:
        if self.options.slices is not None:
            raise UserError("The brain is found in whole volumes alone; leave out --find-brain or --slices.")
        check_brain_finder()

    def _at_free_paths(self) -> TranslationJob:
        """This job with other outputs in place of those that have come into being since it began: nothing is lost."""
        if self.overwrite:
            return self
        return dataclasses.replace(
            self, output=_free(self.output), segmentation=_free(self.segmentation), uncertainty=_free(self.uncertainty)
        )

    def _write(self, translation: Translation, segmentation: Segmentation | None) -> None:
        """Write every file under a temporary name before the first is renamed."""
        files = {self.output: translation.volume}
        if self.uncertainty is not None and translation.uncertainty is not None:
            files[self.uncertainty] = translation.uncertainty
        if self.segmentation is not None and segmentation is not None:
            files[self.segmentation] = translation.volume.with_array(segmentation.labels)
        try:
            with contextlib.ExitStack() as stack:
                for path, volume in files.items():
                    save_volume(stack.enter_context(atomic_path(path)), volume)
        except OSError as error:
            message = f"The result cannot be written ({error.strerror}); free space or choose another folder."
            raise UserError(message) from error


_Wanted = TypeVar("_Wanted", Path, Path | None)


def _free(path: _Wanted) -> _Wanted:
    """The path of an output, or one beside it with a number where something has appeared."""
    if path is None or not path.exists():
        return path
    free = unused(path)
    warnings.warn(f"{path} has come into being meanwhile; the result goes to {free}.", ScanWarning, stacklevel=4)
    return free
