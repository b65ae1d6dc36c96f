"""QC page of a cohort: one HTML file with a row for each scan that loads nothing from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ..interface.events import ClassVolume
from .qc_images import HEIGHT, WIDTH, color_of
from .scans import Outputs
from .sidecar import ScanSummary, read_summary

_STYLE = """
body { margin: 0 auto; max-width: 110rem; padding: 0 1rem; font: 14px/1.4 system-ui, sans-serif; color: #222; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; }
th, td { padding: .5rem .5rem; vertical-align: top; text-align: left; overflow-wrap: anywhere; }
tr { border-top: 1px solid #ccc; }
col.scan { width: 15%; } col.volumes { width: 15%; } col.notices { width: 14%; }
img { display: block; width: 100%; height: auto; background: #000; }
thead td { display: grid; grid-template-columns: repeat(3, 1fr); font-weight: bold; }
ul { margin: 0; padding: 0; list-style: none; }
li { display: flex; gap: .4em; align-items: baseline; }
li span:last-child { margin-left: auto; white-space: nowrap; font-variant-numeric: tabular-nums; }
i { flex: none; width: .8em; height: .8em; border: 1px solid #888; }
p { margin: 0 0 .4em; } .notice, .failure { color: #a30; }
"""
_HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>LMIDiffusion: translated scans</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Translated scans</h1>
"""
_TABLE = """<table>
<colgroup><col class="scan"><col><col class="volumes"><col class="notices"></colgroup>
<thead><tr>
<th>Scan</th><td><span>Source</span><span>Translation</span><span>Segmentation</span></td><th>Volumes</th><th>Notices</th>
</tr></thead>
<tbody>
"""
_FOOT = "</tbody>\n</table>\n</body>\n</html>\n"


def qc_page(done: Sequence[Outputs], failures: Sequence[tuple[str, str]]) -> str:
    """Return the page as HTML.

    Args:
        done: translated scans.
        failures: name and reason of each other scan.
    """
    summaries = [read_summary(outputs) for outputs in done]
    noticed = sum(bool(each.notices) for each in summaries)
    counts = f"{len(done)} are translated, {noticed} of them with a notice; {len(failures)} could not be."
    advice = "The volumes have been computed, not measured: for research, not for diagnosis or treatment."
    rows = [_row(outputs, summary) for outputs, summary in zip(done, summaries, strict=True)]
    lost = [_lost_row(name, reason) for name, reason in failures]
    return "".join([_HEAD, f"<p>{counts}</p>\n<p>{advice}</p>\n", _TABLE, *lost, *rows, _FOOT])


def _row(outputs: Outputs, summary: ScanSummary) -> str:
    name = escape(outputs.scan.name)
    notices = "".join(f'<p class="notice">{escape(each)}</p>' for each in summary.notices)
    names = tuple(each.name for each in summary.volumes)
    volumes = "".join(_volume(each, color_of(each.label, names)) for each in summary.volumes)
    picture = (
        f'<img width="{WIDTH}" height="{HEIGHT}" src="{_data(outputs.picture)}" decoding="async"'
        f' alt="Source, translation and segmentation of {name}, in three planes each">'
    )
    return f"<tr><th>{name}</th><td>{picture}</td><td><ul>{volumes}</ul></td><td>{notices}</td></tr>\n"


def _volume(volume: ClassVolume, color: str) -> str:
    amount = f"{volume.milliliters:.0f} ml"
    return f'<li><i style="background: {color}"></i><span>{escape(volume.name)}</span><span>{amount}</span></li>'


def _lost_row(name: str, reason: str) -> str:
    return f'<tr><th>{escape(name)}</th><td colspan="3"><p class="failure">{escape(reason)}</p></td></tr>\n'


def _data(picture: Path) -> str:
    return f"data:image/webp;base64,{base64.b64encode(picture.read_bytes()).decode('ascii')}"
