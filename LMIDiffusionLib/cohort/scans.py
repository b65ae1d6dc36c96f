"""A scan of a cohort and the files of its results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..images.files import real_path

FIGURES, LOGS = "figures", "logs"
"""Folders of the output besides those that mirror the input."""
PAGE, FAILURES, VOLUMES = "qc.html", "failures.csv", "volumes.csv"
"""Files of the output about the whole cohort."""


@dataclass(frozen=True)
class Scan:
    """One scan of a cohort.

    Attributes:
        name: unique path below the cohort's root, with slashes.
        source: file of the scan.
        mask: file of a brain mask, if there is one.
        stem: path of the results below the output folder, with slashes and without endings.
        sources: names of source and mask in the results' sidecars.
        is_chosen: false for a scan that this call leaves alone.
    """

    name: str
    source: Path
    mask: Path | None
    stem: str
    sources: tuple[str, ...]
    is_chosen: bool = True


@dataclass(frozen=True)
class Outputs:
    """Paths of a scan's results.

    Attributes:
        folder: of the results of the whole cohort.
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
        """Sources and settings of the translation; written last, so that a scan that has it is done."""
        return self._file(f"desc-translated_{self.modality}.json")

    @property
    def segmentation(self) -> Path:
        """The label map."""
        return self._file("desc-kmeans_dseg.nii.gz")

    @property
    def labels(self) -> Path:
        """The table of label names."""
        return self._file("desc-kmeans_dseg.tsv")

    @property
    def segmentation_sidecar(self) -> Path:
        """Sources of the label map and the volume of each class."""
        return self._file("desc-kmeans_dseg.json")

    @property
    def picture(self) -> Path:
        """The image of the scan on the QC page."""
        return self._file("desc-quality.webp", FIGURES)

    @property
    def failure(self) -> Path:
        """The reason of a failure."""
        return self._file("failure.txt", LOGS)

    def results(self) -> tuple[Path, ...]:
        """Return all files of a translated scan, the sidecar first."""
        return (
            *(self.sidecar, self.translation, self.segmentation),
            *(self.labels, self.segmentation_sidecar, self.picture),
        )

    def are_complete(self) -> bool:
        """Tell whether no file is missing or empty."""
        return all(map(_has_content, self.results()))

    def shown(self, place: str) -> str:
        """Return a path below the cohort's root or the output folder: those of this machine mean nothing on another."""
        known = {self.scan.source: self.scan.name, self.folder: "", real_path(self.folder): ""}
        if self.scan.mask is not None:
            known[self.scan.mask] = self.scan.sources[1]
        for path, name in known.items():
            if place and Path(place).is_relative_to(path):
                return (Path(name) / Path(place).relative_to(path)).as_posix()
        return place

    def is_finished(self) -> bool:
        """Tell whether the scan has been translated or has failed."""
        return self.sidecar.exists() or self.failure.exists()


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
