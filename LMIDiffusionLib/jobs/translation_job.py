"""The `translate` job: from a scan's files to the files of its translation, all of them or none."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from ..errors import UserError
from ..images.dicom.series import Series
from ..images.files import (
    ITK_ENDINGS,
    NIFTI_ENDINGS,
    VOLUME_ENDINGS,
    atomic_path,
    check_output,
    ending,
    real_path,
    stem,
    unused,
)
from ..images.formats.reading import check_exists
from ..images.volume import Volume, check_axes, save_volume
from ..interface.events import Result, Stage
from ..interface.notices import Notice, NoticeKind
from ..interface.resources import DEFAULT_CHECKPOINT
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.devices import select_device, select_precision
from ..segmentation.volume_table import volume_table
from ..translation.lmi_diffusion import LMIDiffusion
from ..translation.options import Extra, TranslationOptions
from ..translation.scan_pipeline import FOUND, ScanResult, ScanSettings, SegmentationSettings, translate_scan
from .reporting import Reporter

_OUTPUTS = ("output", "segmentation", "volumes")
_SAMPLE_NOTE = "LMIDiffusion: one sample, not the mean; its details are made up"


@dataclass(frozen=True)
class ModelChoice:
    """The model of a job and the hardware that runs it, by name.

    Attributes:
        checkpoint: name or path.
        device: name for `select_device`.
        precision: name for `select_precision`.
    """

    checkpoint: str = DEFAULT_CHECKPOINT
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class DrawnFiles:
    """Files of what takes draws.

    Attributes:
        uncertainty: file of the expected error; None for no such file.
        sample: file of one draw, whose name says so; None for no such file.
    """

    uncertainty: Path | None = None
    sample: Path | None = None

    @property
    def extras(self) -> frozenset[Extra]:
        """Return the results with draws that the job asks for."""
        asked = {Extra.EXPECTED_ERROR: self.uncertainty, Extra.SAMPLE: self.sample}
        return frozenset(extra for extra, path in asked.items() if path is not None)


@dataclass(frozen=True)
class TranslationJob:
    """Files to read and to write, and how to translate.

    Attributes:
        source: volume to translate: a file, a folder of DICOM files, or one of several series in it.
        output: file of the translation.
        model: checkpoint, device and precision.
        segmentation: file of the label map; None for no segmentation.
        mask: brain mask, or `FOUND` to find the brain in the translation; makes tissues of the classes.
        clusters: K-Means classes without a mask; None for the most that the checkpoint knows.
        drawn: files of what takes draws.
        volumes: CSV file of the volumes of classes or tissues; None for no such file.
        overwrite: replace existing files.
        options: of the translation.
    """

    source: Path | Series
    output: Path
    model: ModelChoice = ModelChoice()
    segmentation: Path | None = None
    mask: Literal["found"] | Path | None = None
    clusters: int | None = None
    drawn: DrawnFiles = DrawnFiles()
    volumes: Path | None = None
    overwrite: bool = False
    options: TranslationOptions = TranslationOptions()

    def run(self, reporter: Reporter, *, load: Callable[[str], Checkpoint] = load_checkpoint) -> ScanResult:
        """Translate, segment and write.

        Args:
            reporter: is told every event.
            load: reads the checkpoint.

        Raises:
            UserError: the request, a file or the device cannot be used; nothing has been written then.
        """
        start = time.monotonic()
        self._check()
        device = select_device(self.model.device)
        precision = select_precision(self.model.precision, device)
        reporter.report(Stage.LOADING)
        checkpoint = load(self.model.checkpoint)
        segmentation = SegmentationSettings(self.mask, self.clusters) if self._is_segmented else None
        settings = ScanSettings(checkpoint, self.options, segmentation, self.drawn.extras)
        translator = LMIDiffusion(checkpoint, device=device, precision=precision)
        result = translate_scan(self.source, translator, settings, check=self._check_scan, report=reporter.report)
        reporter.report(Stage.WRITING)
        job = self._at_free_paths(reporter)
        job._write(result)
        seconds = time.monotonic() - start
        reporter.report(job._outcome(result, seconds))
        return result

    def _outcome(self, result: ScanResult, seconds: float) -> Result:
        return Result(
            self.output,
            self.segmentation,
            self.drawn.uncertainty,
            result.volumes,
            seconds,
            volumes=self.volumes,
            sample=self.drawn.sample,
            expected_error=result.expected_error,
        )

    @property
    def _name_in_table(self) -> str:
        source = self.source
        return f"{source.path.as_posix()}/series-{source.number}" if isinstance(source, Series) else str(source)

    @property
    def _is_segmented(self) -> bool:
        return self.segmentation is not None or self.volumes is not None

    def _check(self) -> None:
        """Find what cannot work before the checkpoint is loaded."""
        for path in (self.source.path if isinstance(self.source, Series) else self.source, self.mask):
            if isinstance(path, Path):
                check_exists(path)
        options = {"--find-brain": self.mask == FOUND, "--mask": self.mask is not None, "--clusters": self.clusters}
        option = next((name for name, value in options.items() if value), None)
        if option is not None and not self._is_segmented:
            raise UserError(f"{option} is used only with --segmentation or --volumes; add one of them.")
        self._check_outputs(overwrite=True)  # what exists is refused once the scan is known to be one

    def _check_scan(self, scan: Volume) -> None:
        """Find what of the outputs stands in the way of a scan that can be read."""
        self._check_outputs(overwrite=self.overwrite)
        for path in (self.output, self.segmentation, self.drawn.uncertainty, self.drawn.sample):
            if path is not None:
                check_axes(path, scan)

    def _check_outputs(self, *, overwrite: bool) -> None:
        outputs = [path for path in (self.output, self.segmentation, self.drawn.uncertainty) if path is not None]
        others = (self.source, self.mask, self.volumes, self.drawn.sample)
        named = [real_path(path) for path in (*others, *outputs) if isinstance(path, Path)]
        if len(set(named)) < len(named):
            raise UserError("Two of the given files are the same; give each input and output a path of its own.")
        for path in outputs:
            check_output(path, overwrite=overwrite, endings=VOLUME_ENDINGS)
        if self.volumes is not None:
            check_output(self.volumes, overwrite=overwrite, endings=(".csv",))
        sample = self.drawn.sample
        if sample is not None:
            check_output(sample, overwrite=overwrite, endings=(*NIFTI_ENDINGS, *ITK_ENDINGS))
            if "sample" not in sample.name.lower():
                advice = f"write {stem(sample)}_sample{ending(sample)}"
                raise UserError(f"The file of a sample must say so in its name, because it is no mean; {advice}.")

    def _at_free_paths(self, reporter: Reporter) -> TranslationJob:
        """Return this job with other names for outputs that have appeared since it began, so that nothing is lost."""
        if self.overwrite:
            return self
        free = {name: _free(getattr(self, name), reporter) for name in _OUTPUTS}
        drawn = DrawnFiles(_free(self.drawn.uncertainty, reporter), _free(self.drawn.sample, reporter))
        return dataclasses.replace(self, drawn=drawn, **free)

    def _write(self, result: ScanResult) -> None:
        """Write every file under a temporary name before the first is renamed."""
        files = {self.output: result.volume}
        drawn = self.drawn
        if drawn.uncertainty is not None and result.uncertainty is not None:
            files[drawn.uncertainty] = result.uncertainty
        if self.segmentation is not None and result.segmentation is not None:
            files[self.segmentation] = result.volume.with_array(result.segmentation.labels)
        try:
            with contextlib.ExitStack() as stack:
                for path, volume in files.items():
                    save_volume(stack.enter_context(atomic_path(path)), volume)
                if drawn.sample is not None and result.sample is not None:
                    path = stack.enter_context(atomic_path(drawn.sample))
                    save_volume(path, result.sample, description=_SAMPLE_NOTE)
                if self.volumes is not None:
                    table = volume_table([(self._name_in_table, result.volumes, result.expected_error)])
                    stack.enter_context(atomic_path(self.volumes)).write_text(table, encoding="utf-8")
        except OSError as error:
            message = f"The result cannot be written ({error.strerror}); free space or choose another folder."
            raise UserError(message) from error


_Wanted = TypeVar("_Wanted", Path, Path | None)


def _free(path: _Wanted, reporter: Reporter) -> _Wanted:
    """Return the path of an output, or a numbered one beside it if a file has appeared there."""
    if path is None or not path.exists():
        return path
    free = unused(path)
    reporter.report(Notice(NoticeKind.FILE_NAME, str(path), f"has appeared meanwhile; the result goes to {free}."))
    return free
