"""`benchmark speed`: LMI, network, rivals and whole translations, timed side by side in one run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
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
from torch import Tensor

from .. import __version__
from ..images.volume import Volume, read_volume
from ..interface.resources import DEFAULT_CHECKPOINT
from ..jobs.demo import sample_scan
from ..lmi import local_mutual_information
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.devices import select_device, select_precision
from ..translation.lmi_diffusion import LMIDiffusion
from ..translation.options import TranslationOptions
from ..translation.sliced_volume import SlicedSource
from ..translation.translate_volume import translate
from .speed_baselines import SYNTHSR_SHAPE, VolumeNetwork, authors_lmi
from .timing import Measurement, measured, measured_command

_SCAN = "sri24_PDw"
_SIDE = 128
_BATCHES = (1, 16)
_RUNS = 15
_SLOW_RUNS = 5
_SERIES_RUNS = 3
# What is not varied in a series.
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
    """What is measured.

    Attributes:
        device: name of the one to measure; "auto" for the CPU and whatever is faster here.
        authors_code: folder of their public code, to compare with.
        parts: names out of `PARTS`.
    """

    device: str
    authors_code: Path | None
    parts: Sequence[str]


def run_speed_benchmark(options: SpeedOptions, *, tell: Callable[[Measurement], None]) -> list[Measurement]:
    """Measure the chosen parts on every device; `tell` hears each measurement as it is made.

    Raises:
        UserError: the device is not there, or the authors' code cannot be imported.
    """
    measurements = []
    for device in _devices(options.device):
        setting = _Setting(device, options.authors_code)
        for part in options.parts:
            for measurement in PARTS[part](setting):
                tell(measurement)
                measurements.append(measurement)
    return measurements


def circumstances() -> dict[str, Any]:
    """What figures depend on."""
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
    """A measurement as text."""
    what = f"{measurement.what}, {measurement.device}"
    seconds = measurement.seconds
    duration = f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
    memory = "" if measurement.megabytes is None else f"{measurement.megabytes:.0f} MB"
    return f"{what:<68}{duration:>12}{memory:>10}".rstrip()


def _devices(name: str) -> list[torch.device]:
    chosen = select_device(name)
    others = [torch.device("cpu")] if name == "auto" and chosen.type != "cpu" else []
    return [*others, chosen]


class _Setting:
    """Where to measure, and what is measured more than once."""

    def __init__(self, device: torch.device, authors_code: Path | None) -> None:
        self.device = device
        self.authors_lmi = None if authors_code is None else authors_lmi(authors_code)
        self.checkpoint: Checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
        self.scan = read_volume(sample_scan(_SCAN))

    def images(self, count: int) -> Tensor:
        """Slices (count, 1, H, W) of noise in [0, 1]."""
        return torch.rand(count, 1, _SIDE, _SIDE, generator=torch.Generator().manual_seed(count)).to(self.device)

    def translation(self, volume: Volume, options: TranslationOptions) -> Callable[[], object]:
        """A translation without the start of a process."""
        precision = select_precision("auto", self.device)
        method = LMIDiffusion(self.checkpoint, device=self.device, precision=precision)
        return lambda: translate(volume, self.checkpoint, options, method=method)


def _lmi(setting: _Setting) -> Iterator[Measurement]:
    """Of slices that tell something of each other, and of a slice and the noise that a translation starts from."""
    shape = f"{_SIDE} x {_SIDE}"
    for count in _BATCHES:
        first, second = setting.images(count), setting.images(count).flip(0, 3)
        noise = setting.checkpoint.sde.sigma_max * torch.randn(first.shape).to(setting.device)
        for name, other in (("LMI", second), ("LMI with noise", noise)):
            what = f"{name}, {count} x {shape}"
            run = functools.partial(local_mutual_information, first, other)
            yield measured(run, what=what, device=setting.device, runs=_RUNS)
    if setting.authors_lmi is not None:
        authors = functools.partial(setting.authors_lmi, setting.images(1), setting.images(1).flip(3))
        what = f"LMI of the authors' code, 1 x {shape}"
        yield measured(authors, what=what, device=setting.device, runs=_SLOW_RUNS)


@torch.no_grad()
def _network(setting: _Setting) -> Iterator[Measurement]:
    method = LMIDiffusion(setting.checkpoint, device=setting.device, precision=select_precision("auto", setting.device))
    network = method.network
    for count in _BATCHES:
        noisy = setting.images(count)
        maps = noisy.repeat(1, network.settings.condition_channels, 1, 1)
        sigma = torch.ones(count, device=setting.device)
        run = functools.partial(network, noisy, maps, sigma)
        what = f"score network, {count} x {_SIDE} x {_SIDE}"
        yield measured(run, what=what, device=setting.device, runs=_RUNS)


@torch.no_grad()
def _volume_network(setting: _Setting) -> Iterator[Measurement]:
    network = VolumeNetwork().eval().to(setting.device)
    volume = torch.rand(1, 1, *SYNTHSR_SHAPE).to(setting.device)
    what = f"one pass of a 3-D U-Net of SynthSR's size, {' x '.join(map(str, SYNTHSR_SHAPE))}"
    yield measured(lambda: network(volume), what=what, device=setting.device, runs=1)


def _command(setting: _Setting) -> Iterator[Measurement]:
    """The whole command in processes of its own, start and all."""
    source = sample_scan(_SCAN)
    slices = len(SlicedSource.of(setting.scan, pixel_size=setting.checkpoint.pixel_size).head_slices())
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "translation.nii.gz")
        command = [sys.executable, "-m", "LMIDiffusionLib", "translate", str(source), output]
        command += ["--device", setting.device.type, "--overwrite"]
        for some, name in (([], f"{slices} slices"), (["--slices", "36:37"], "one slice")):
            what = f"command translate, bundled scan, {name}"
            yield measured_command([*command, *some], what=what, device=setting.device, runs=_SERIES_RUNS)


def _series(setting: _Setting) -> Iterator[Measurement]:
    """Translations of the bundled scan, one thing varied at a time."""
    preset = TranslationOptions(slices=_SLICES)

    def point(axis: str, value: float, volume: Volume, options: TranslationOptions) -> Measurement:
        name = axis.replace("_", " ")
        run = setting.translation(volume, options)
        what = f"translation, {name} {value:g}"
        return measured(run, what=what, device=setting.device, runs=_SERIES_RUNS, axis=name, value=value)

    for count in _SLICE_COUNTS:
        first = (setting.scan.array.shape[2] - count) // 2
        yield point("slices", count, setting.scan, dataclasses.replace(preset, slices=(first, first + count)))
    for factor in _PIXEL_SIDES:
        volume = Volume(setting.scan.array, setting.scan.affine @ np.diag([factor, factor, 1, 1]))
        pixels = np.prod(SlicedSource.of(volume, pixel_size=setting.checkpoint.pixel_size).grid.slice_shape)
        yield point("pixels a slice", float(pixels), volume, preset)
    for axis, values in _SERIES.items():
        for value in values:
            yield point(axis, value, setting.scan, dataclasses.replace(preset, **{axis: value}))
    if setting.device.type == "cpu":
        for threads in _thread_counts():
            with _threads(threads):
                yield point("threads", threads, setting.scan, preset)


def _thread_counts() -> list[int]:
    """Powers of two up to the number of processors, and that number itself."""
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


PARTS: dict[str, Callable[[_Setting], Iterator[Measurement]]] = {
    "lmi": _lmi,
    "network": _network,
    "volume-network": _volume_network,
    "command": _command,
    "series": _series,
}
"""What can be measured."""
