"""One process's share of a cohort: the next scan is read and the last one written while one is translated."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import ScanWarning
from ..images.files import atomic_path
from ..images.masks import read_mask
from ..images.plausibility import check_plausibility
from ..images.volume import Volume, read_volume, save_nifti
from ..interface.notices import warn
from ..model.checkpoint import Checkpoint
from ..model.devices import select_precision
from ..runs.distributed import failures_kept
from ..segmentation.brain_extraction import find_brain
from ..segmentation.classes import Segmentation
from ..translation.label_map import class_volumes, segment
from ..translation.lmi_diffusion import LMIDiffusion
from ..translation.sliced_volume import SlicedSource
from ..translation.translate_volume import translate_source
from .qc_images import save_strip
from .scans import Outputs
from .settings import Account, Recipe, label_table, segmentation_sidecar, sidecar


@dataclass(frozen=True)
class _Opened:
    volume: Volume
    source: SlicedSource
    brain: NDArray[np.bool_] | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Translated:
    scaled: Volume
    translation: Volume
    segmentation: Segmentation
    account: Account


class Pipeline:
    """Translates scans with one model on one device."""

    def __init__(self, checkpoint: Checkpoint, recipe: Recipe, device: torch.device) -> None:
        self._checkpoint, self._recipe, self._record = checkpoint, recipe, recipe.record()
        precision = select_precision(recipe.precision, device)
        self._method = LMIDiffusion(checkpoint, device=device, precision=precision)

    def do(self, scans: Sequence[Outputs]) -> None:
        """Translate all; where one fails, keep the reason and go on. At most three are in memory."""
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            coming = [reader.submit(self._read, scans[0])] if scans else []
            written: Future[None] | None = None
            for number, outputs in enumerate(scans):
                opened = coming.pop().result()
                if number + 1 < len(scans):
                    coming.append(reader.submit(self._read, scans[number + 1]))
                translated = self._translate(opened, outputs)
                del opened
                if written is not None:
                    written.result()
                written = writer.submit(self._write, translated, outputs)
            if written is not None:
                written.result()

    def _read(self, outputs: Outputs) -> _Opened | None:
        """Read a scan and cut it into slices.

        All that warns of scans is in here: filters of warnings are those of the process, so that one thread alone can
        set them.
        """
        scan = outputs.scan
        with failures_kept([outputs.failure]), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ScanWarning)
            volume = read_volume(scan.source)
            warn(check_plausibility(volume.array, scan.source))
            brain = None if scan.mask is None else read_mask(scan.mask, volume)
            source = SlicedSource.of(volume, pixel_size=self._checkpoint.pixel_size)
            told = [str(each.message) for each in caught]
            return _Opened(volume, source, brain, tuple(_without_folders(text, outputs) for text in told))
        return None

    def _translate(self, opened: _Opened | None, outputs: Outputs) -> _Translated | None:
        if opened is None:
            return None
        with failures_kept([outputs.failure]):
            volume = opened.volume
            translation = translate_source(opened.source, volume, self._method, self._recipe.options).volume
            brain = opened.brain
            if brain is None and self._recipe.find_brain:
                brain = find_brain(translation)
            segmentation = segment(translation, self._checkpoint, clusters=self._recipe.clusters, brain=brain)
            account = Account(class_volumes(segmentation, volume), opened.warnings)
            return _Translated(volume.with_array(opened.source.scaled), translation, segmentation, account)
        return None

    def _write(self, translated: _Translated | None, outputs: Outputs) -> None:
        """Write every file under a temporary name before the first is renamed, and rename the sidecar last."""
        if translated is None:
            return
        scan, account = outputs.scan, translated.account
        texts = {
            outputs.sidecar: sidecar(scan, self._checkpoint.modality, self._record, account),
            outputs.segmentation_sidecar: segmentation_sidecar(scan, account),
            outputs.labels: label_table(account),
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
            save_strip(temporary[outputs.picture], translated.scaled, translated.translation, translated.segmentation)


def _without_folders(text: str, outputs: Outputs) -> str:
    """A message without the folders of a machine, which say nothing on another one."""
    scan = outputs.scan
    for path, name in zip((scan.source, scan.mask), scan.sources, strict=False):
        text = text.replace(str(path), Path(name).name)
    return text
