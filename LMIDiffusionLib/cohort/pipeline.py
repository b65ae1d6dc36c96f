"""One process's share of a cohort: the next scan is read and the last one written while one is translated."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..images.dicom.series import SeveralSeries
from ..images.volume import Volume, save_nifti
from ..model.checkpoint import Checkpoint
from ..runs.claims import Claim, Claims
from ..runs.distributed import failure_text
from ..segmentation.classes import Segmentation
from ..translation.lmi_diffusion import LMIDiffusion
from ..translation.scan_pipeline import PreparedScan, prepare_scan, translate_prepared
from .output_folder import make_parent, remove_temporaries, replaced
from .qc_images import save_strip
from .scan_lines import ScanLines
from .scans import Outputs, Scan
from .settings import CohortSettings
from .sidecar import ScanSummary, State, fingerprint, label_table, segmentation_sidecar, sidecar, state


@dataclass(frozen=True)
class _Prepared:
    """A scan that has been read under a claim, and the fingerprints of its files."""

    claim: Claim
    files: tuple[dict[str, Any], ...]
    scan: PreparedScan


@dataclass(frozen=True)
class _Translated:
    """Everything that is written of a scan; volumes in [0, 1]."""

    claim: Claim
    source: Volume
    translation: Volume
    segmentation: Segmentation
    summary: ScanSummary
    seconds: float


class Pipeline:
    """Translates scans with one model on one device, each under a claim, so that no other call works on it."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: CohortSettings,
        device: torch.device,
        claims: Claims,
        lines: ScanLines,
    ) -> None:
        self._checkpoint, self._settings, self._record = checkpoint, settings, settings.record()
        self._translator = LMIDiffusion(checkpoint, device=device, precision=settings.precision)
        self._claims, self._lines = claims, lines

    def translate_all(self, scans: Sequence[Outputs]) -> None:
        """Translate all scans; keep the reason of a failure and go on. At most three scans are in memory.

        Scans on which another call is at work, or that another call has finished, are left alone.
        """
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            coming = [reader.submit(self._prepare, scans[0])] if scans else []
            written: Future[None] | None = None
            for number, outputs in enumerate(scans):
                prepared = coming.pop().result()
                if number + 1 < len(scans):
                    coming.append(reader.submit(self._prepare, scans[number + 1]))
                translated = self._translate(prepared, outputs)
                del prepared
                if written is not None:
                    written.result()
                written = writer.submit(self._write, translated, outputs)
            if written is not None:
                written.result()

    def translate_one_by_one(self, scans: Sequence[Outputs]) -> None:
        """Translate all scans with one scan in memory and one claim at a time, so that a death has one cause."""
        for outputs in scans:
            self._write(self._translate(self._prepare(outputs), outputs), outputs)

    def _prepare(self, outputs: Outputs) -> _Prepared | None:
        scan = outputs.scan
        taken = self._claims.take(scan.stem)
        if taken is None:
            return None
        claim, dead = taken
        with self._failures_kept(outputs, claim):
            remove_temporaries((*outputs.results(), outputs.failure), dead)
            if outputs.failure.exists() or state(outputs, self._record) is not State.MISSING:
                self._claims.give_back(claim)
                return None
            files = _fingerprints(scan)
            prepared = prepare_scan(scan.source, self._settings.for_scan(self._checkpoint, mask=scan.mask))
            return _Prepared(claim, files, prepared)
        return None

    def _translate(self, prepared: _Prepared | None, outputs: Outputs) -> _Translated | None:
        if prepared is None:
            return None
        with self._failures_kept(outputs, prepared.claim):
            start = time.monotonic()
            settings = self._settings.for_scan(self._checkpoint, mask=outputs.scan.mask)
            result = translate_prepared(prepared.scan, self._translator, settings)
            assert result.segmentation is not None
            source = prepared.scan.volume.with_array(prepared.scan.sliced.scaled)
            notices = tuple(each.at(Path(outputs.shown(each.place)).name).message for each in result.notices)
            error = None if result.expected_error is None else round(result.expected_error, 4)
            summary = ScanSummary(result.volumes, notices, prepared.files, error)
            seconds = time.monotonic() - start
            return _Translated(prepared.claim, source, result.volume, result.segmentation, summary, seconds)
        return None

    def _write(self, translated: _Translated | None, outputs: Outputs) -> None:
        """Write every file under a temporary name before the first is renamed, and rename the sidecar last."""
        if translated is None:
            return
        scan, summary, claim = outputs.scan, translated.summary, translated.claim
        texts = {
            outputs.sidecar: sidecar(scan, self._checkpoint.modality, self._record, summary),
            outputs.segmentation_sidecar: segmentation_sidecar(scan, summary),
            outputs.labels: label_table(summary),
        }
        labels = translated.translation.with_array(translated.segmentation.labels)
        with self._failures_kept(outputs, claim), contextlib.ExitStack() as stack:
            for path in outputs.results():
                make_parent(path, outputs.folder)
            # The stack renames in reverse: what is entered first, the sidecar, comes last.
            temporary = {path: stack.enter_context(replaced(path, claim.token)) for path in outputs.results()}
            for path, text in texts.items():
                # Names that are no text become JSON's escapes.
                temporary[path].write_text(text, encoding="utf-8", errors="backslashreplace")
            save_nifti(temporary[outputs.translation], translated.translation)
            save_nifti(temporary[outputs.segmentation], labels)
            save_strip(temporary[outputs.picture], translated.source, translated.translation, translated.segmentation)
        if outputs.sidecar.exists():
            self._lines.translated(scan.name, translated.seconds)
        self._claims.give_back(claim)

    @contextlib.contextmanager
    def _failures_kept(self, outputs: Outputs, claim: Claim) -> Iterator[None]:
        """Keep the reason of a failure, give the claim back and go on."""
        try:
            yield
        except Exception as error:
            text = failure_text(_without_advice(error), outputs.shown)
            keep_failure(outputs, text, claim.token)
            self._lines.failed(outputs.scan.name, without_name(text, outputs.scan.name))
            self._claims.give_back(claim)


def _fingerprints(scan: Scan) -> tuple[dict[str, Any], ...]:
    """Return the fingerprints of source and mask; none where one cannot be read, of which reading it tells more."""
    try:
        return tuple(fingerprint(path) for path in (scan.source, scan.mask) if path is not None)
    except OSError:
        return ()


def without_name(reason: str, name: str) -> str:
    """Return a reason that stands beside the scan's name, without the name at its start."""
    return f"It {rest}" if (rest := reason.removeprefix(f"{name} ")) != reason else reason


def keep_failure(outputs: Outputs, text: str, token: str) -> None:
    """Write the reason of a failure; where that fails too, the scan stays one that has not been translated."""
    with contextlib.suppress(OSError, UserError):
        make_parent(outputs.failure, outputs.folder)
        with replaced(outputs.failure, token) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _without_advice(error: Exception) -> Exception:
    """Replace advice that names an option which cohorts do not have."""
    if not isinstance(error, SeveralSeries):
        return error
    text = f"holds several DICOM series ({error.listed}); list the folders of those that are meant in a CSV file."
    return UserError(text, place=error.place)
