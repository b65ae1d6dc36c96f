"""The page on which a cohort is looked through, in a real browser."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CohortRun
from PIL import Image

from LMIDiffusionLib.cohort.qc_images import GAP, PLANES, SIDE
from LMIDiffusionLib.cohort.qc_page import _error_remark, _remark
from LMIDiffusionLib.cohort.sidecar import ScanSummary
from LMIDiffusionLib.images.volume import Volume, write_volume
from LMIDiffusionLib.interface.events import ClassVolume

# Opens the page in frames of two widths, and writes what the browser makes of it into its own text.
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body><script>
const widths = [1400, 390];
const told = [];
const names = (page) => [...page.querySelectorAll("main article")].filter((each) => each.clientHeight)
  .map((each) => each.querySelector("h2").textContent);
const look = (frame) => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const shown = [...page.querySelectorAll("button i")];
  const seen = {
    pictures: shown.map((each) => [view.getComputedStyle(each).backgroundImage.slice(0, 27), each.clientWidth]),
    narrowest: Math.min(...[...page.querySelectorAll("article h2, li, header p")].map((each) => each.clientWidth)),
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    requests: view.performance.getEntriesByType("resource").map((entry) => entry.name),
    text: page.body.innerText,
    names: names(page),
  };
  const order = page.getElementById("order"), marked = page.getElementById("marked");
  order.selectedIndex = [...order.options].findIndex((each) => each.text === "marked first");
  order.dispatchEvent(new Event("change"));
  seen.sorted = names(page);
  marked.click();
  seen.marked = names(page);
  page.querySelector("button").click();
  seen.large = [...page.querySelectorAll("#large[open] i")].map((each) => each.clientWidth);
  told.push(seen);
  if (told.length === widths.length) document.body.textContent = JSON.stringify(told);
};
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 900;
  frame.onload = () => look(frame);
  frame.src = "qc.html";
  document.body.append(frame);
}
</script></body>"""


@pytest.fixture
def output(thin_scan: Volume, run_cohort: CohortRun, tmp_path: Path) -> Path:
    """Results of a plain scan, one with a notice and a brain mask, one that fails, and names that are none of HTML."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_volume(folder / "plain & <b>bold<b>.nii.gz", thin_scan)
    write_volume(folder / ("long" * 30 + ".nii.gz"), thin_scan.with_array((thin_scan.array + 500).astype(np.float32)))
    (folder / "damaged.nii.gz").write_bytes(b"no scan")
    mask = np.zeros(thin_scan.array.shape, np.uint8)
    mask[15:40, 15:45, 1:3] = 1
    write_volume(folder / "mask.nii.gz", thin_scan.with_array(mask))
    rows = ["source,mask", '"plain & <b>bold<b>.nii.gz",', "long" * 30 + ".nii.gz,mask.nii.gz", "damaged.nii.gz,"]
    (folder / "list.csv").write_text("\n".join(rows))
    assert run_cohort(folder / "list.csv", tmp_path / "out") == 1
    return tmp_path / "out"


def opened(browser: str, folder: Path) -> list[dict[str, Any]]:
    """Return the state of a folder's page in a browser, in windows of two widths."""
    (folder / "probe.html").write_text(PROBE)
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [browser, *options, profile, "--virtual-time-budget=10000", "--dump-dom", f"file://{folder}/probe.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    text = re.search(r"<body>(\[.*\])</body>", done.stdout, re.DOTALL)
    assert text, done.stdout
    told: list[dict[str, Any]] = json.loads(html.unescape(text[1]))
    return told


def test_a_browser_shows_every_scan_on_a_desk_and_on_a_phone_without_network_requests(
    browser: str, output: Path
) -> None:
    for told in opened(browser, output):
        assert len(told["pictures"]) == 6
        for background, width in told["pictures"]:
            assert background == 'url("data:image/webp;base64'
            assert width > 250, "too small to see anything"
        assert told["narrowest"] > 100, "one letter a line"
        assert told["overflow"] == 0
        assert not [address for address in told["requests"] if not address.startswith("data:")]
        text = told["text"]
        assert "2 are translated, 1 of them with a notice; 1 could not be." in text
        assert "plain & <b>bold<b>.nii.gz" in text
        assert "long" * 30 in text
        for part in (
            "Class 5",
            "white matter",
            " ml",
            "background that is not zero",
            "not a scan",
            "not for diagnosis",
            "Checkpoint tiny",
            "quality fast, version",
            "too few scans to tell",
            "Are lesions lost?",
        ):
            assert part in text
        assert str(output.parent) not in text, "an absolute path"


def test_scans_are_sorted_filtered_and_enlarged(browser: str, output: Path) -> None:
    plain, noticed = "plain & <b>bold<b>.nii.gz", "long" * 30 + ".nii.gz"
    for told in opened(browser, output):
        assert {*told["names"]} == {plain, noticed}
        assert told["sorted"] == [noticed, plain]
        assert told["marked"] == [noticed]
        assert len(told["large"]) == 3 and min(told["large"]) > 330


def test_the_qc_page_loads_nothing_from_elsewhere(output: Path) -> None:
    page = (output / "qc.html").read_text(encoding="utf-8")
    for reference in re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"' >]+)|url\('?([^')]*)'?\)|@import", page):
        assert "".join(reference).startswith(("data:image/webp;base64,", "data:text/csv;base64,"))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert html.unescape(policy).split("; ") == [
        *("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'"),
    ]


def test_the_qc_page_offers_the_table_of_volumes(output: Path) -> None:
    page = (output / "qc.html").read_text(encoding="utf-8")
    (table,) = re.findall(r"data:text/csv;base64,([^\"]+)", page)
    assert base64.b64decode(table).decode() == (output / "volumes.csv").read_text()


def test_volumes_far_from_those_of_the_other_scans_are_marked() -> None:
    volumes = [ClassVolume(2, "Class 2", 500.0 + each) for each in range(9)]
    scans = [ScanSummary((each,), ()) for each in (*volumes, ClassVolume(2, "Class 2", 900.0))]
    remarks = [_remark(each.volumes[0], scans) for each in scans]
    assert remarks == [""] * 9 + ["unusual: the median is 504 ml"]
    assert not _remark(volumes[0], scans[-3:]), "three scans are too few to tell"


def test_expected_errors_far_above_those_of_the_other_scans_are_marked() -> None:
    errors = [*(0.06 + 0.001 * each for each in range(9)), 0.02, 0.15]
    scans = [ScanSummary((), (), expected_error=each) for each in errors]
    remarks = [_error_remark(each.expected_error, scans) for each in scans]
    assert remarks == [""] * 10 + ["unusual: the median is 0.064"]
    assert not _error_remark(0.15, scans[-3:]), "three scans are too few to tell"
    assert not _error_remark(None, scans)


def test_the_qc_image_shows_source_translation_and_classes_in_five_planes_each(output: Path) -> None:
    pictures = sorted((output / "figures").rglob("*.webp"))
    assert len(pictures) == 2
    for path in pictures:
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        assert pixels.shape[:2] == (3 * SIDE + 2 * GAP, PLANES * SIDE + 4 * GAP)
        for row, column in itertools.product(range(3), range(PLANES)):
            top, left = row * (SIDE + GAP), column * (SIDE + GAP)
            tile = pixels[top : top + SIDE, left : left + SIDE]
            assert tile.std() > 8, "a plane is empty"
            colored = (np.ptp(tile, axis=2) > 25).mean()
            assert row > 0 or 0 < colored < 0.2, "the outline is thin"
            assert row != 1 or colored == 0, "the translation has no colors"
            assert row != 2 or colored > 0.005, "the segmentation has colors"
