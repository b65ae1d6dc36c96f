"""QC page of a cohort: one HTML file that shows every scan and loads nothing from elsewhere."""

from __future__ import annotations

import base64
import datetime
import hashlib
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..interface.events import ClassVolume
from ..segmentation.classes import TISSUES
from ..segmentation.volume_table import volume_table
from . import qc_template
from .qc_images import NO_COLOR, color_of
from .scans import Outputs
from .sidecar import ScanSummary, read_summary

PAGE_TITLE = "LMIDiffusion: translated scans"
"""Text by which the page is recognized."""

# Robust z-scores above this are outliers (Iglewicz and Hoaglin 1993), once there are enough scans to tell.
_FAR = 3.5
_FEWEST = 8
_MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True)
class _Volume:
    name: str
    milliliters: float
    color: str
    remark: str


@dataclass(frozen=True)
class _Scan:
    name: str
    picture: str
    volumes: list[_Volume]
    columns: list[tuple[int, float]]
    notices: tuple[str, ...]
    error: float | None
    error_remark: str

    @property
    def outlines(self) -> str:
        """Colors of the lines on the source; white matter has one where tissues are known."""
        has_tissues = TISSUES[-1] in {volume.name for volume in self.volumes}
        return "what is segmented outlined in blue" + ", white matter in yellow" * has_tissues

    @property
    def is_unusual(self) -> bool:
        return any(volume.remark for volume in self.volumes)

    @property
    def marks(self) -> int:
        """Number of notices, unusual volumes and unusual errors."""
        return len(self.notices) + sum(bool(volume.remark) for volume in self.volumes) + bool(self.error_remark)


def qc_page(done: Sequence[Outputs], failures: Sequence[tuple[str, str]], *, left: int = 0) -> str:
    """Return the page as HTML.

    Args:
        done: translated scans.
        failures: name and reason of each scan that could not be translated.
        left: number of scans that are not done yet.
    """
    from jinja2 import Environment

    summaries = [read_summary(outputs) for outputs in done]
    names = [*dict.fromkeys(volume.name for summary in summaries for volume in summary.volumes)]
    scans = [*_scans(done, summaries, names)]
    table = volume_table(
        (outputs.scan.name, each.volumes, each.expected_error) for outputs, each in zip(done, summaries, strict=True)
    )
    script = qc_template.SCRIPT
    return (
        Environment(autoescape=True)
        .from_string(qc_template.PAGE)
        .render(
            title=PAGE_TITLE,
            policy=_policy(script),
            style=Markup(qc_template.STYLE),
            script=Markup(script),
            scans=scans,
            names=names,
            noticed=sum(bool(scan.notices) for scan in scans),
            unusual=sum(scan.is_unusual for scan in scans),
            unsure=sum(bool(scan.error_remark) for scan in scans),
            has_errors=any(scan.error is not None for scan in scans),
            made=[*dict.fromkeys(filter(None, (summary.made for summary in summaries)))],
            date=datetime.date.today().isoformat(),
            fewest=_FEWEST,
            far=_FAR,
            failures=failures,
            left=left,
            table=_base64(table.encode(errors="backslashreplace")),
        )
    )


def _policy(script: str) -> str:
    """Return the content security policy that lets this script run and nothing be loaded."""
    digest = _base64(hashlib.sha256(script.encode()).digest())
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _scans(done: Sequence[Outputs], summaries: Sequence[ScanSummary], names: list[str]) -> Iterator[_Scan]:
    for outputs, summary in zip(done, summaries, strict=True):
        labels = tuple(each.name for each in summary.volumes)
        volumes = [_volume(each, color_of(each.label, labels), summaries) for each in summary.volumes]
        columns = [(names.index(each.name), round(each.milliliters, 3)) for each in summary.volumes]
        picture = f"data:image/webp;base64,{_base64(outputs.picture.read_bytes())}"
        error = summary.expected_error
        remark = _error_remark(error, summaries)
        yield _Scan(outputs.scan.name, picture, volumes, columns, summary.notices, error, remark)


def _volume(volume: ClassVolume, color: str, summaries: Sequence[ScanSummary]) -> _Volume:
    """Return a row of a scan's volumes; nothing is remarked on air, whose volume is that of the field of view."""
    remark = "" if color == NO_COLOR else _remark(volume, summaries)
    return _Volume(volume.name, volume.milliliters, color, remark)


def _remark(volume: ClassVolume, summaries: Sequence[ScanSummary]) -> str:
    """Return a remark on a volume that is far from those of the same label in the other scans, or nothing."""
    others = [each.milliliters for summary in summaries for each in summary.volumes if each.name == volume.name]
    median = _median_if_far(volume.milliliters, others)
    return "" if median is None else f"unusual: the median is {median:.0f} ml"


def _error_remark(error: float | None, summaries: Sequence[ScanSummary]) -> str:
    """Return a remark on an expected error that is far above those of the other scans, or nothing."""
    if error is None:
        return ""
    median = _median_if_far(error, [each.expected_error for each in summaries if each.expected_error is not None])
    return "" if median is None or error < median else f"unusual: the median is {median:.3f}"


def _median_if_far(value: float, values: Sequence[float]) -> float | None:
    """Return the median of all values if one of them is far from it; None if it is not, or if there are too few."""
    if len(values) < _FEWEST:
        return None
    median = statistics.median(values)
    deviation = _MAD_TO_DEVIATION * statistics.median(abs(each - median) for each in values)
    return median if abs(value - median) > _FAR * deviation else None
