"""`benchmark speed`: LMI, network and whole translation, timed side by side in one run."""

from __future__ import annotations

import contextlib
import importlib
import platform
import resource as usage
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from .. import __version__
from ..checkpoint import load_checkpoint
from ..demo import sample_scan
from ..devices import select_device
from ..errors import UserError
from ..lmi import local_mutual_information
from ..resources import DEFAULT_CHECKPOINT
from ..source import SlicedSource
from ..volume import read_volume

_SIDE = 128
_BATCH = 16
_RUNS = 15
_SLOW_RUNS = 5
_TRANSLATIONS = 3
_MEGABYTE = 2**20
# What the authors' LMI imports but does not use.
_UNUSED_MODULES = ("torchvision", "torchvision.transforms", "matplotlib", "matplotlib.pyplot")


def run_speed_benchmark(*, device_name: str, authors_code: Path | None) -> None:
    """Print medians of several runs, one line a measurement.

    Raises:
        UserError: the device is not there, or the authors' code cannot be imported.
    """
    device = select_device(device_name)
    authors_lmi = None if authors_code is None else _authors_lmi(authors_code)
    print(f"LMIDiffusion {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}")
    print(f"Device: {_describe(device)}; medians of {_RUNS} runs unless another number is given")
    ours = _measure_lmi(1, device)
    if authors_lmi is not None:
        _measure_authors(authors_lmi, device, ours)
    _measure_lmi(_BATCH, device)
    _measure_network(1, device)
    _measure_network(_BATCH, device)
    _measure_translation(device_name)


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads, {platform.machine()} {platform.system()}"


def _measure_lmi(count: int, device: torch.device) -> float:
    """Print and return the seconds of one call for `count` pairs."""
    pairs = _images(count, device), _images(count, device)
    memory = _extra_memory(lambda: local_mutual_information(*pairs), device)
    seconds = _median_seconds(lambda: local_mutual_information(*pairs), device)
    _print(f"LMI, {count} x {_SIDE} x {_SIDE}", f"{1000 * seconds:.1f} ms", f"{memory} extra memory")
    return seconds


def _measure_authors(authors_lmi: Callable[[Tensor, Tensor], object], device: torch.device, ours: float) -> None:
    pair = _images(1, device), _images(1, device)
    memory = _extra_memory(lambda: authors_lmi(*pair), device)
    seconds = _median_seconds(lambda: authors_lmi(*pair), device, runs=_SLOW_RUNS)
    rest = f"{memory} extra memory, {_SLOW_RUNS} runs; ours is {seconds / ours:.0f} times faster"
    _print("authors' statistical_align, one pair", f"{1000 * seconds:.1f} ms", rest)


@torch.no_grad()
def _measure_network(count: int, device: torch.device) -> None:
    network = load_checkpoint(DEFAULT_CHECKPOINT).score_network().to(device)
    noisy = _images(count, device)
    maps = _images(count, device).repeat(1, network.settings.condition_channels, 1, 1)
    sigma = torch.ones(count, device=device)
    seconds = _median_seconds(lambda: network(noisy, maps, sigma), device)
    _print(f"U-Net forward, {count} x {_SIDE} x {_SIDE}", f"{1000 * seconds:.1f} ms", "")


def _measure_translation(device_name: str) -> None:
    """The whole command in processes of its own, start and all."""
    source = sample_scan("sri24_PDw")
    pixel_size = load_checkpoint(DEFAULT_CHECKPOINT).pixel_size
    slices = len(SlicedSource.of(read_volume(source), pixel_size=pixel_size).head_slices())
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "translation.nii.gz")
        command = [sys.executable, "-m", "LMIDiffusionLib", "translate", str(source), output]
        command += ["--device", device_name, "--overwrite"]

        def translate() -> None:
            subprocess.run(command, check=True, capture_output=True)

        seconds = statistics.median(_seconds(translate) for _ in range(_TRANSLATIONS))
    kilobytes = usage.getrusage(usage.RUSAGE_CHILDREN).ru_maxrss
    _print(
        f"translate, bundled scan, {slices} slices",
        f"{seconds:.1f} s",
        f"{seconds / slices:.2f} s a slice, {kilobytes / 1024:.0f} MB at most, {_TRANSLATIONS} runs",
    )


def _print(what: str, value: str, rest: str) -> None:
    print(f"{what:<40} {value:>12}  {rest}".rstrip(), flush=True)


def _images(count: int, device: torch.device) -> Tensor:
    return torch.rand(count, 1, _SIDE, _SIDE, generator=torch.Generator().manual_seed(count)).to(device)


def _median_seconds(function: Callable[[], object], device: torch.device, *, runs: int = _RUNS) -> float:
    def finished() -> None:
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    finished()
    return statistics.median(_seconds(finished) for _ in range(runs))


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _extra_memory(function: Callable[[], object], device: torch.device) -> str:
    """Highest memory in use during the call, above that before it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        return f"{(torch.cuda.max_memory_allocated(device) - before) / _MEGABYTE:.0f} MB"
    if not Path("/proc/self/clear_refs").exists():
        return "unknown"
    before = _resident_kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    function()
    return f"{(_resident_kilobytes('VmHWM') - before) / 1024:.0f} MB"


def _resident_kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def _authors_lmi(folder: Path) -> Callable[[Tensor, Tensor], object]:
    """`statistical_align` of the authors' public code, patch size 3."""
    with _importable(folder):
        try:
            align = importlib.import_module("models.conditioner").statistical_align
        except (ImportError, AttributeError) as error:
            message = f"{folder} is not the authors' code ({error}); give a copy of mgh-ccni/midiffusion."
            raise UserError(message) from error
    return lambda reference, image: align(reference, image, 3)


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Make the authors' modules importable without the packages that their LMI never calls."""
    stand_ins = {name: types.ModuleType(name) for name in _UNUSED_MODULES if name not in sys.modules}
    for name, module in stand_ins.items():
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in stand_ins:
            del sys.modules[name]
