"""`benchmark speed`: run time of LMI, the network, other methods' parts and whole translations, in one run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ... import __version__
from ...images.volume import Volume, read_volume, write_volume
from ...interface.resources import DEFAULT_CHECKPOINT
from ...jobs.demo import sample_scan
from ...lmi import local_mutual_information
from ...model.checkpoint import Checkpoint, load_checkpoint
from ...model.devices import select_device, select_precision
from ...translation.lmi_diffusion import LMIDiffusion
from ...translation.options import TranslationOptions
from ...translation.scan_pipeline import translate
from ...translation.sliced_volume import SlicedVolume
from .baselines import SYNTHSR_SHAPE, VolumeNetwork, authors_lmi
from .measurement import Measurement, time_command, time_function

_SCAN, _THICK_SCAN = "sri24_PDw", "ms_patient04_T2w"
_QUALITIES = ("fast", "balanced", "best")
_SIDE = 128
_BATCHES = (1, 16)
_RUNS = 15
_SLOW_RUNS = 5
_SERIES_RUNS = 3
# Slices of the bundled scan that a series translates, unless it varies their number.
_SLICES = (28, 44)
_SERIES: dict[str, Sequence[Any]] = {
    "samples": (1, 2, 4, 8),
    "steps": (1, 2, 4, 8),
    "batch_size": (1, 2, 4, 8, 16),
}
_SLICE_COUNTS = (1, 4, 16, 64)
_PIXEL_SIDES = (0.75, 1.0, 1.5, 2.0)  # times the scan's own


@dataclass(frozen=True)
class SpeedOptions:
    """Choices of `lmidiffusion benchmark speed`.

    Attributes:
        device: device to measure; "auto" for the CPU and a faster device if this machine has one.
        authors_code: folder of the paper's public code, to compare with.
        parts: names out of `PARTS`.
    """

    device: str
    authors_code: Path | None
    parts: Sequence[str]


def run_speed_benchmark(options: SpeedOptions, *, on_measurement: Callable[[Measurement], None]) -> list[Measurement]:
    """Measure the chosen parts on every device; call `on_measurement` after each measurement.

    Raises:
        UserError: this machine lacks the device, or the authors' code cannot be imported.
    """
    measurements = []
    for device in _devices(options.device):
        setup = _SpeedSetup(device, options.authors_code)
        for part in options.parts:
            for measurement in PARTS[part](setup):
                on_measurement(measurement)
                measurements.append(measurement)
    return measurements


def circumstances() -> dict[str, Any]:
    """Return the versions and the hardware that the figures depend on."""
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "LMIDiffusion": __version__,
        "PyTorch": torch.__version__,
        "Python": platform.python_version(),
        "machine": f"{platform.machine()} {platform.system()}",
        "CPU threads": torch.get_num_threads(),
        "precision": str(select_precision("auto", torch.device("cpu"))).removeprefix("torch."),
        "GPU": cuda,
    }


def line(measurement: Measurement) -> str:
    """Return a measurement as one line of text."""
    name = f"{measurement.name}, {measurement.device}"
    seconds = measurement.seconds
    duration = f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
    memory = "" if measurement.megabytes is None else f"{measurement.megabytes:.0f} MB"
    return f"{name:<78}{duration:>12}{memory:>10}".rstrip()


def _devices(name: str) -> list[torch.device]:
    chosen = select_device(name)
    others = [torch.device("cpu")] if name == "auto" and chosen.type != "cpu" else []
    return [*others, chosen]


class _SpeedSetup:
    """Device, checkpoint and scan that the parts share."""

    def __init__(self, device: torch.device, authors_code: Path | None) -> None:
        self.device = device
        self.authors_lmi = None if authors_code is None else authors_lmi(authors_code)
        self.checkpoint: Checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
        self.scan = read_volume(sample_scan(_SCAN))

    def images(self, count: int) -> Tensor:
        """Return slices (count, 1, H, W) of uniform noise in [0, 1]."""
        return torch.rand(count, 1, _SIDE, _SIDE, generator=torch.Generator().manual_seed(count)).to(self.device)

    def translation(self, volume: Volume, options: TranslationOptions) -> Callable[[], object]:
        """Return a function that translates a volume in this process."""
        translator = LMIDiffusion(self.checkpoint, device=self.device, precision="auto")
        return lambda: translate(volume, translator, options)


def _lmi(setup: _SpeedSetup) -> Iterator[Measurement]:
    """Time LMI between two dependent slices, and between a slice and the noise that sampling starts from."""
    shape = f"{_SIDE} x {_SIDE}"
    for count in _BATCHES:
        first, second = setup.images(count), setup.images(count).flip(0, 3)
        noise = setup.checkpoint.sde.sigma_max * torch.randn(first.shape).to(setup.device)
        for title, other in (("LMI", second), ("LMI with noise", noise)):
            name = f"{title}, {count} x {shape}"
            run = functools.partial(local_mutual_information, first, other)
            yield time_function(run, name=name, device=setup.device, runs=_RUNS)
    if setup.authors_lmi is not None:
        authors = functools.partial(setup.authors_lmi, setup.images(1), setup.images(1).flip(3))
        name = f"LMI of the authors' code, 1 x {shape}"
        yield time_function(authors, name=name, device=setup.device, runs=_SLOW_RUNS)


@torch.no_grad()
def _network(setup: _SpeedSetup) -> Iterator[Measurement]:
    method = LMIDiffusion(setup.checkpoint, device=setup.device, precision=select_precision("auto", setup.device))
    network = method.network
    for count in _BATCHES:
        noisy = setup.images(count)
        maps = noisy.repeat(1, network.settings.condition_channels, 1, 1)
        sigma = torch.ones(count, device=setup.device)
        run = functools.partial(network, noisy, maps, sigma)
        name = f"score network, {count} x {_SIDE} x {_SIDE}"
        yield time_function(run, name=name, device=setup.device, runs=_RUNS)


@torch.no_grad()
def _volume_network(setup: _SpeedSetup) -> Iterator[Measurement]:
    network = VolumeNetwork().eval().to(setup.device)
    volume = torch.rand(1, 1, *SYNTHSR_SHAPE).to(setup.device)
    name = f"one pass of a 3-D U-Net of SynthSR's size, {' x '.join(map(str, SYNTHSR_SHAPE))}"
    yield time_function(lambda: network(volume), name=name, device=setup.device, runs=1)


def _command(setup: _SpeedSetup) -> Iterator[Measurement]:
    """Time whole commands, the start of the process included: scans, presets and numbers of threads."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        counts = _thread_counts() if setup.device.type == "cpu" else [torch.get_num_threads()]
        for (title, path), quality, threads in itertools.product(_scans(setup.scan, folder), _QUALITIES, counts):
            name = f"translate, {title}, {quality}, {threads} thread{'s' * (threads > 1)}"
            words = ["--quality", quality, "--threads", str(threads)]
            yield _timed_translation(setup, path, words, name=name, folder=folder)
        words = ["--slices", "36:37"]
        yield _timed_translation(setup, sample_scan(_SCAN), words, name="translate, one slice", folder=folder)


def _scans(scan: Volume, folder: Path) -> Iterator[tuple[str, Path]]:
    """Return the bundled scans and the first of them at half its voxel size, each with a name that tells its size."""
    fine = Volume(ndimage.zoom(scan.array, 2, order=1), scan.affine @ np.diag([0.5, 0.5, 0.5, 1]))
    write_volume(folder / "fine.nii.gz", fine)
    for path in (sample_scan(_SCAN), sample_scan(_THICK_SCAN), folder / "fine.nii.gz"):
        volume = read_volume(path)
        shape = " x ".join(map(str, volume.array.shape))
        sides = np.linalg.norm(volume.affine[:3, :3], axis=0)
        yield f"{shape} voxels of {' x '.join(f'{side:.2g}' for side in sides)} mm", path


def _timed_translation(
    setup: _SpeedSetup, source: Path, words: Sequence[str], *, name: str, folder: Path
) -> Measurement:
    command = [sys.executable, "-m", "LMIDiffusionLib", "translate", str(source), str(folder / "translation.nii.gz")]
    command += ["--device", setup.device.type, "--overwrite", *words]
    return time_command(command, name=name, device=setup.device, runs=_SERIES_RUNS)


def _series(setup: _SpeedSetup) -> Iterator[Measurement]:
    """Time translations of the bundled scan, one parameter varied at a time."""
    preset = TranslationOptions(slices=_SLICES)

    def point(axis: str, value: float, volume: Volume, options: TranslationOptions) -> Measurement:
        title = axis.replace("_", " ")
        run = setup.translation(volume, options)
        name = f"translation, {title} {value:g}"
        return time_function(run, name=name, device=setup.device, runs=_SERIES_RUNS, axis=title, value=value)

    for count in _SLICE_COUNTS:
        first = (setup.scan.array.shape[2] - count) // 2
        yield point("slices", count, setup.scan, dataclasses.replace(preset, slices=(first, first + count)))
    for factor in _PIXEL_SIDES:
        volume = Volume(setup.scan.array, setup.scan.affine @ np.diag([factor, factor, 1, 1]))
        pixels = np.prod(SlicedVolume.from_volume(volume, pixel_size=setup.checkpoint.pixel_size).grid.slice_shape)
        yield point("pixels a slice", float(pixels), volume, preset)
    for axis, values in _SERIES.items():
        for value in values:
            yield point(axis, value, setup.scan, dataclasses.replace(preset, **{axis: value}))
    if setup.device.type == "cpu":
        for threads in _thread_counts():
            with _threads(threads):
                yield point("threads", threads, setup.scan, preset)


def _thread_counts() -> list[int]:
    """Return the powers of two up to the number of processors, and that number itself."""
    count = os.cpu_count() or 1
    return sorted({count, *(2**power for power in range(count.bit_length()) if 2**power <= count)})


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


PARTS: dict[str, Callable[[_SpeedSetup], Iterator[Measurement]]] = {
    "lmi": _lmi,
    "network": _network,
    "volume-network": _volume_network,
    "command": _command,
    "series": _series,
}
"""Parts of the benchmark by name; each measures on the device of its setup."""
