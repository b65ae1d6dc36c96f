"""`benchmark speed`: its parts and its output. No test depends on a run time."""

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from LMIDiffusionLib.benchmark.timings import speed
from LMIDiffusionLib.benchmark.timings.baselines import VolumeNetwork, authors_lmi
from LMIDiffusionLib.benchmark.timings.measurement import Measurement, measure_command, time_function
from LMIDiffusionLib.benchmark.timings.speed import PARTS, SpeedOptions, line, run_speed_benchmark
from LMIDiffusionLib.cli import parser_for
from LMIDiffusionLib.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few and small measurements."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr(speed, "_RUNS", 1)
    monkeypatch.setattr(speed, "_SERIES_RUNS", 1)
    monkeypatch.setattr(speed, "_SIDE", 32)
    monkeypatch.setattr(speed, "_SLICES", (36, 38))
    monkeypatch.setattr(speed, "_SLICE_COUNTS", (1, 2))
    monkeypatch.setattr(speed, "_PIXEL_SIDES", (0.5, 1.0))
    monkeypatch.setattr(speed, "_SERIES", {"samples": (1, 2), "steps": (1, 2), "batch_size": (1, 2)})


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    words = ["benchmark", "speed", "--device", "cpu", *arguments]
    parsed = parser_for(words).parse_args(words)
    parsed.run(parsed)
    return capsys.readouterr().out


@pytest.mark.usefixtures("brief")
def test_every_series_is_printed_as_json_and_plotted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    report = json.loads(output(capsys, "--only", "series", "--json", "--plot", str(tmp_path / "speed.png")))
    assert torch.get_num_threads() == threads
    assert report["circumstances"]["PyTorch"] == torch.__version__
    found: dict[str, list[float]] = {}
    for each in report["measurements"]:
        measurement = Measurement(**each)
        assert measurement.seconds > 0 and measurement.device == "cpu" and measurement.runs == 1
        assert measurement.axis is not None and measurement.value is not None
        found.setdefault(measurement.axis, []).append(measurement.value)
    assert found.pop("threads") == [1]
    small, large = found.pop("pixels a slice")
    assert large == pytest.approx(4 * small, rel=0.05)
    assert found == {axis: [1, 2] for axis in ("slices", "samples", "steps", "batch size")}
    with Image.open(tmp_path / "speed.png") as picture:
        assert min(picture.size) > 200


@pytest.mark.usefixtures("brief")
def test_chosen_parts_are_printed_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = output(capsys, "--only", "lmi", "network").splitlines()
    assert torch.__version__ in lines[0]
    assert [each.split(",")[0] for each in lines[1:]] == ["LMI", "LMI with noise"] * 2 + ["score network"] * 2
    assert all(" cpu " in each and (" ms" in each or " s" in each) for each in lines[1:])


def test_memory_excludes_what_was_in_use_before_the_run() -> None:
    kept = torch.ones(2**24)
    # Large enough not to fit what other tests have left in the heap.
    measurement = time_function(lambda: torch.ones(2**26).sum() + kept[0], name="256 MB", device=CPU, runs=1)
    assert measurement.megabytes is None or measurement.megabytes == pytest.approx(256, abs=16)
    assert "256 MB, cpu" in line(measurement)


def test_the_memory_of_a_command_is_its_own_and_not_that_of_an_earlier_or_the_calling_one() -> None:
    large, small = (measure_command([sys.executable, "-c", f"b'x' * {count}"]).megabytes for count in (2**28, 1))
    assert large is None or (small is not None and large > 256 and small < 64)


@pytest.mark.usefixtures("brief")
def test_commands_are_timed_by_scan_quality_and_threads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_QUALITIES", ("fast",))
    monkeypatch.setattr(speed, "_THICK_SCAN", speed._SCAN)
    lines = output(capsys, "--only", "command").splitlines()[1:]
    names = [each.rpartition(", cpu")[0] for each in lines]
    coarse = "translate, 72 x 91 x 73 voxels of 2 x 2 x 2 mm, fast, 1 thread"
    assert names == [
        coarse,
        coarse,
        coarse.replace("72 x 91 x 73", "144 x 182 x 146").replace("2 x 2 x 2", "1 x 1 x 1"),
        "translate, one slice",
    ]
    assert all(each.endswith(" MB") for each in lines)


def test_the_volume_network_has_the_size_of_synthsr() -> None:
    network = VolumeNetwork()
    widths = [each.out_channels for each in network.modules() if isinstance(each, torch.nn.Conv3d)]
    assert widths == [24] * 2 + [48] * 2 + [96] * 2 + [192] * 2 + [384] * 2 + [192] * 2 + [96] * 2 + [48] * 2 + [
        24
    ] * 2 + [1]
    volume = torch.rand(1, 1, 16, 32, 16)
    with torch.no_grad():
        assert VolumeNetwork(features=2).eval()(volume).shape == volume.shape


def test_a_folder_without_the_authors_code_and_an_unknown_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the authors' code"):
        authors_lmi(tmp_path)
    with pytest.raises(UserError, match="no device abacus"):
        run_speed_benchmark(SpeedOptions("abacus", None, list(PARTS)), on_measurement=print)
