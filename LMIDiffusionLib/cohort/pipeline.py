"""One process's share of a cohort: the next scan is read and the last one written while one is translated."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from ..images.files import atomic_path
from ..images.volume import Volume, save_nifti
from ..interface.notices import Notices
from ..model.checkpoint import Checkpoint
from ..runs.distributed import failures_kept
from ..segmentation.classes import Segmentation
from ..translation.lmi_diffusion import LMIDiffusion
from ..translation.scan_pipeline import PreparedScan, prepare_scan, translate_prepared
from .qc_images import save_strip
from .scans import Outputs, Scan
from .settings import CohortSettings
from .sidecar import ScanSummary, label_table, segmentation_sidecar, sidecar


@dataclass(frozen=True)
class _Translated:
    """Everything that is written of a scan; volumes in [0, 1]."""

    source: Volume
    translation: Volume
    segmentation: Segmentation
    summary: ScanSummary


class Pipeline:
    """Translates scans with one model on one device."""

    def __init__(self, checkpoint: Checkpoint, settings: CohortSettings, device: torch.device) -> None:
        self._checkpoint, self._settings, self._record = checkpoint, settings, settings.record()
        self._translator = LMIDiffusion(checkpoint, device=device, precision=settings.precision)

    def translate_all(self, scans: Sequence[Outputs]) -> None:
        """Translate all scans; keep the reason of a failure and go on. At most three scans are in memory."""
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

    def _prepare(self, outputs: Outputs) -> PreparedScan | None:
        scan = outputs.scan
        with failures_kept([outputs.failure]):
            return prepare_scan(scan.source, self._settings.for_scan(self._checkpoint, mask=scan.mask))
        return None

    def _translate(self, prepared: PreparedScan | None, outputs: Outputs) -> _Translated | None:
        if prepared is None:
            return None
        with failures_kept([outputs.failure]):
            settings = self._settings.for_scan(self._checkpoint, mask=outputs.scan.mask)
            result = translate_prepared(prepared, self._translator, settings)
            assert result.segmentation is not None
            source = prepared.volume.with_array(prepared.sliced.scaled)
            summary = ScanSummary(result.volumes, _messages(result.notices, outputs.scan))
            return _Translated(source, result.volume, result.segmentation, summary)
        return None

    def _write(self, translated: _Translated | None, outputs: Outputs) -> None:
        """Write every file under a temporary name before the first is renamed, and rename the sidecar last."""
        if translated is None:
            return
        scan, summary = outputs.scan, translated.summary
        texts = {
            outputs.sidecar: sidecar(scan, self._checkpoint.modality, self._record, summary),
            outputs.segmentation_sidecar: segmentation_sidecar(scan, summary),
            outputs.labels: label_table(summary),
        }
        labels = translated.translation.with_array(translated.segmentation.labels)
        with failures_kept([outputs.failure]), contextlib.ExitStack() as stack:
            for path in outputs.results():
                path.parent.mkdir(parents=True, exist_ok=True)
            # The stack renames in reverse: what is entered first, the sidecar, comes last.
            temporary = {path: stack.enter_context(atomic_path(path)) for path in outputs.results()}
            for path, text in texts.items():
                temporary[path].write_text(text, encoding="utf-8")
            save_nifti(temporary[outputs.translation], translated.translation)
            save_nifti(temporary[outputs.segmentation], labels)
            save_strip(temporary[outputs.picture], translated.source, translated.translation, translated.segmentation)


def _messages(notices: Notices, scan: Scan) -> tuple[str, ...]:
    """Return notices without the folders of this machine, which mean nothing on another one."""
    names = {str(path): Path(name).name for path, name in zip((scan.source, scan.mask), scan.sources, strict=False)}
    return tuple(each.at(names.get(each.place, each.place)).message for each in notices)
