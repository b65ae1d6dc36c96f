"""Plots of the series of `benchmark speed`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...images.files import atomic_path
from .measurement import Measurement

_COLUMNS = 3
_LEAST_MEMORY = 10  # megabytes at the top of a panel


def save_series(path: Path, measurements: Sequence[Measurement]) -> None:
    """Plot seconds (solid) and megabytes (dotted) of every series, one panel for each varied parameter."""
    from matplotlib.figure import Figure

    axes_of = list(dict.fromkeys(each.axis for each in measurements if each.axis is not None))
    rows = max(1, -(-len(axes_of) // _COLUMNS))
    figure = Figure(figsize=(4.5 * _COLUMNS, 3.5 * rows), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axis in axes_of:
        _draw(next(panels), axis, [each for each in measurements if each.axis == axis])
    for unused in panels:
        unused.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def _draw(panel: Any, axis: str, series: Sequence[Measurement]) -> None:
    memory = panel.twinx()
    for number, device in enumerate(dict.fromkeys(each.device for each in series)):
        own = sorted((each.value or 0.0, each.seconds, each.megabytes) for each in series if each.device == device)
        values, seconds, megabytes = zip(*own, strict=True)
        panel.plot(values, seconds, "o-", color=f"C{number}", label=device)
        memory.plot(values, [float("nan") if each is None else each for each in megabytes], ":", color=f"C{number}")
    panel.set(xscale="log", xlabel=axis, ylabel="seconds")
    panel.set_ylim(bottom=0)
    panel.set_xticks(sorted({each.value or 0.0 for each in series}), minor=False)
    panel.xaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()
    memory.set_ylabel("megabytes (dotted)")
    # Less than this is what the heap had left.
    memory.set_ylim(0, max(_LEAST_MEMORY, memory.get_ylim()[1]))
    panel.grid(alpha=0.3)
    panel.legend()
