"""Zero background: scans come z-scored, shifted, and filled with -32768 outside a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..interface.notices import Notice, NoticeKind, Notices, warn

# Ringing and coil noise give a few voxels below the background.
_LOWEST_PERCENTILE = 0.1
_HIGHEST_PERCENTILE = 99.0
# All of these are shares of the span between the two percentiles.
_GAP_BELOW_HEAD = 0.5
_GAP_BELOW_ZERO = 0.05
_NOTICEABLE_SHIFT = 0.05
_RINGING = 0.1
# Shares of voxels.
_FILLED_BORDER = 0.25
_LOST_BELOW_FILL = 0.05
_AIR_AT_BORDER = 0.25


def with_zero_background(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change a volume like `zero_background`, with a `ScanWarning` in place of a notice."""
    shifted, notices = zero_background(values)
    warn(notices)
    return shifted


def zero_background(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], Notices]:
    """Bring the air of a volume (I, J, K) to 0: set filled voxels to it, and shift the others to it.

    The background is what the border of the volume holds, not the least value: two columns of padding at -1000 leave
    the rest as it is. A volume whose background is 0 keeps its values, but for a few negative ones that become 0.

    Returns:
        The volume, and a notice if its background was not 0.
    """
    fill = filled_voxels(values)
    lowest, span = _range(values[~fill])
    raised = lowest > _NOTICEABLE_SHIFT * span and _is_air(_border(values, ~fill), lowest, span)
    shift = lowest if lowest < 0 or raised else 0.0
    return np.where(fill, 0.0, np.maximum(values - shift, 0.0)), _notices(fill, shift, span, values)


def filled_voxels(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find voxels of one exact value that stands for no measurement and lies off the scan's own values.

    It is either far below all others (-32768 outside a mask) or fills the border in the midst of the scan's values or
    above them (0 about a head that was z-scored).
    """
    fill = np.zeros(values.shape, np.bool_)
    while (value := _low_fill(values[~fill])) is not None:
        fill |= values == value
    candidate, share = _mode(_border(values, ~fill))
    scan = values[~fill & (values != candidate)]
    has_range = scan.size > 0 and scan.min() < scan.max()  # else the border is half of a binary image
    if share >= _FILLED_BORDER and has_range and _lies_within(scan, candidate):
        fill |= values == candidate
    return fill


def _range(scan: NDArray[np.float64]) -> tuple[float, float]:
    """Return the lowest value without outliers, and the distance to the highest."""
    lowest, highest = np.percentile(scan, (_LOWEST_PERCENTILE, _HIGHEST_PERCENTILE))
    return float(lowest), float(highest - lowest)


def _low_fill(values: NDArray[np.float64]) -> float | None:
    """Return the least value if it is negative and too far below all others to be the scan's air."""
    least = float(values.min())
    scan = values[values > least]
    if least >= 0 or scan.size == 0:
        return None
    lowest, span = _range(scan)
    gap = float(scan.min()) - least
    # Where zero is the scan's own, a value well below it is none; a z-scored brain has voxels below zero.
    is_fill = gap > _GAP_BELOW_HEAD * span or (scan.min() >= 0 and lowest - least > _GAP_BELOW_ZERO * span)
    return least if is_fill and not _is_z_scored(values) else None


def _is_z_scored(values: NDArray[np.float64]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):  # a fill of -1.8e308
        mean, deviation = values.mean(), values.std()
    return bool(abs(mean) < 1e-3 and abs(deviation - 1) < 1e-2)


def _border(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the chosen voxels on the outer faces of a volume; all chosen ones if none lies there."""
    border = chosen.copy()
    border[(slice(1, -1),) * values.ndim] = False
    return values[border if border.any() else chosen]


def _mode(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the most frequent value and its share."""
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()]), float(counts.max() / values.size)


def _lies_within(scan: NDArray[np.float64], candidate: float) -> bool:
    """True for a scan with many values that are clearly lower than that of its border."""
    _, span = _range(scan)
    return float((scan < candidate - _RINGING * span).mean()) > _LOST_BELOW_FILL


def _is_air(border: NDArray[np.float64], lowest: float, span: float) -> bool:
    """True for a border just above the lowest value of the scan, as air lies and a crop of tissue does not."""
    return float((border <= lowest + _RINGING * span).mean()) > _AIR_AT_BORDER


def _notices(fill: NDArray[np.bool_], shift: float, span: float, values: NDArray[np.float64]) -> Notices:
    notes = []
    if fill.any():
        filled = ", ".join(f"{value:g}" for value in np.unique(values[fill]))
        notes.append(f"{int(fill.sum())} voxels of {filled} count as air")
    if abs(shift) > _NOTICEABLE_SHIFT * span:
        notes.append(f"{shift:g} counts as zero")
    text = f"has a background that is not zero: {' and '.join(notes)}."
    return (Notice(NoticeKind.BACKGROUND, "The scan", text),) if notes else ()
