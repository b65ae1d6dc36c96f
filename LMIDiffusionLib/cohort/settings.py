"""Settings of a cohort: everything that decides the result of a scan, and options of the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..interface.resources import DEFAULT_CHECKPOINT, checkpoint_hash
from ..translation.options import Extra, TranslationOptions
from .inputs import Cohort

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint
    from ..translation.scan_pipeline import ScanSettings


@dataclass(frozen=True)
class CohortSettings:
    """Settings of translation and segmentation for all scans of a cohort.

    Attributes:
        checkpoint: name or path.
        clusters: K-Means classes of scans without a mask; None for the most that the checkpoint knows.
        find_brain: find the brain in translations of scans without a mask; makes tissues of the classes.
        precision: as `select_precision` takes it.
        options: of the translation.
        extras: results that take draws.
    """

    checkpoint: str = DEFAULT_CHECKPOINT
    clusters: int | None = None
    find_brain: bool = False
    precision: str = "auto"
    options: TranslationOptions = TranslationOptions()
    extras: frozenset[Extra] = frozenset()

    def for_scan(self, checkpoint: Checkpoint, *, mask: Path | None) -> ScanSettings:
        """Return the settings of one scan.

        Args:
            checkpoint: the loaded one.
            mask: of the scan's brain, if there is one.
        """
        from ..translation.scan_pipeline import FOUND, ScanSettings, SegmentationSettings

        if mask is not None:
            return ScanSettings(checkpoint, self.options, SegmentationSettings(mask), self.extras)
        wanted = SegmentationSettings(FOUND if self.find_brain else None, self.clusters)
        return ScanSettings(checkpoint, self.options, wanted, self.extras)

    def record(self) -> dict[str, Any]:
        """Return the settings as plain JSON types: two with the same record give the same result.

        Raises:
            UserError: there is no such checkpoint.
        """
        options = self.options
        return {
            "Checkpoint": self.checkpoint.replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors"),
            "CheckpointSHA256": checkpoint_hash(self.checkpoint),
            "Options": {
                "Sampler": options.sampler,
                "Steps": options.solver()[1],
                "Samples": options.samples,
                "Guidance": options.guidance,
                "Seed": options.seed,
                "Precision": self.precision,
                "Clusters": self.clusters,
                "FindBrain": self.find_brain,
                **({"Extras": sorted(each.value for each in self.extras)} if self.extras else {}),
            },
        }


@dataclass(frozen=True)
class CohortOptions:
    """Options of the command; see `lmidiffusion translate-cohort --help`."""

    cohort: Cohort
    output: Path
    settings: CohortSettings = CohortSettings()
    device: str = "auto"
    devices: str = "auto"
    nodes: int = 1
    overwrite: bool = False
