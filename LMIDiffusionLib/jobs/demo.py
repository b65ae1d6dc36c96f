"""The `demo` job: the bundled PDw scan, translated, segmented and drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..images.normalization import to_unit_scale
from ..images.rendering import Column, gray, overlay, save_planes
from ..images.volume import read_volume
from ..interface.resources import resource
from .reporting import TerminalReporter
from .translation_job import ModelChoice, TranslationJob


def sample_scan(name: str) -> Path:
    """Return the path of a bundled scan."""
    return resource("SampleData", f"{name}.nii.gz")


def run_demo(folder: Path, *, device: str) -> None:
    """Translate and segment the bundled PDw scan, and draw it beside the true T1w.

    Raises:
        UserError: a bundled file is missing, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = sample_scan("sri24_PDw")
    job = TranslationJob(
        source=source,
        output=folder / "translation.nii.gz",
        model=ModelChoice(device=device),
        segmentation=folder / "segmentation.nii.gz",
        mask=sample_scan("sri24_tissue"),
        overwrite=True,
    )
    print(f"Translating {source.name} (PDw to T1w, {job.options.samples} samples averaged) ...")
    job.run(TerminalReporter())
    _draw(job, folder / "demo.png")
    print(f"Wrote {folder / 'demo.png'}")


def _draw(job: TranslationJob, path: Path) -> None:
    assert job.segmentation is not None
    source = read_volume(job.source)
    translation, labels = (read_volume(each).array for each in (job.output, job.segmentation))
    truth = to_unit_scale(read_volume(sample_scan("sri24_T1w")).array)
    columns = [
        Column("source (PDw)", gray(to_unit_scale(source.array))),
        Column("translation (T1w-like)", gray(translation)),
        Column("segmentation", overlay(translation, labels.astype(np.uint8))),
        Column("true T1w", gray(truth)),
    ]
    save_planes(path, source, columns)
