"""One scan of a cohort, and the files that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FIGURES, LOGS = "figures", "logs"
"""Folders of the output beside those that mirror the input."""
PAGE, FAILURES = "qc.html", "failures.csv"
"""Files of the output that tell of the whole cohort."""


@dataclass(frozen=True)
class Scan:
    """One scan of a cohort.

    Attributes:
        name: its path below the cohort's root, with slashes; no other scan has it.
        source: its file.
        mask: a brain mask, if there is one.
        stem: of its results, a path below the output folder, with slashes.
        sources: how its results name what they were made of.
        is_chosen: whether this call is to translate it.
    """

    name: str
    source: Path
    mask: Path | None
    stem: str
    sources: tuple[str, ...]
    is_chosen: bool = True


@dataclass(frozen=True)
class Outputs:
    """Where the results of a scan go.

    Attributes:
        folder: of the whole cohort's results.
        scan: the scan.
        modality: of the translation.
    """

    folder: Path
    scan: Scan
    modality: str

    def _file(self, end: str, folder: str = "") -> Path:
        return self.folder / folder / f"{self.scan.stem}_{end}"

    @property
    def translation(self) -> Path:
        """The translated volume."""
        return self._file(f"desc-translated_{self.modality}.nii.gz")

    @property
    def sidecar(self) -> Path:
        """What the translation was made of, and how; it is written last, and a scan that has it is done."""
        return self._file(f"desc-translated_{self.modality}.json")

    @property
    def segmentation(self) -> Path:
        """The label map."""
        return self._file("desc-kmeans_dseg.nii.gz")

    @property
    def labels(self) -> Path:
        """What the labels stand for."""
        return self._file("desc-kmeans_dseg.tsv")

    @property
    def segmentation_sidecar(self) -> Path:
        """What the label map was made of, and how much there is of each class."""
        return self._file("desc-kmeans_dseg.json")

    @property
    def picture(self) -> Path:
        """The scan's row on the page of quality."""
        return self._file("desc-quality.webp", FIGURES)

    @property
    def failure(self) -> Path:
        """Why there are no results."""
        return self._file("failure.txt", LOGS)

    def results(self) -> tuple[Path, ...]:
        """All files of a scan that is done, in the order in which they may be missed: the sidecar first."""
        return (
            *(self.sidecar, self.translation, self.segmentation),
            *(self.labels, self.segmentation_sidecar, self.picture),
        )

    def are_complete(self) -> bool:
        """Whether no file is missing."""
        return all(path.exists() for path in self.results())

    def is_finished(self) -> bool:
        """Whether the scan has been translated, or has failed."""
        return self.sidecar.exists() or self.failure.exists()
