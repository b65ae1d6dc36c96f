"""Shared fixtures: a tiny checkpoint, a synthetic head on any grid, and real scans."""

import itertools
import locale
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from translating import CPU, MIDDLE, image

from LMIDiffusionLib.cli import main
from LMIDiffusionLib.images.volume import Volume, read_volume
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.model.checkpoint import Checkpoint, Provenance, save_checkpoint
from LMIDiffusionLib.model.conditioning import Condition
from LMIDiffusionLib.model.quantization import restored_weights, stored_weights
from LMIDiffusionLib.model.score_network import NetworkSettings, ScoreNetwork
from LMIDiffusionLib.model.sde import VarianceExplodingSDE
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion

Affine = NDArray[np.float64]
HeadMaker = Callable[[tuple[int, int, int], Affine], Volume]

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"
HEAD_SHAPE = (40, 48, 20)
HEAD_SPACING = 2.0


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> Iterator[None]:
    """Let processes that tests start hear signals that a shell's background or `nohup` would keep from them."""
    handlers: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _same_locale() -> Iterator[None]:
    """ITK leaves the process in the locale C, where text of other processes is read as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.fixture(scope="session")
def browser() -> str:
    """Path of Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("needs Chromium; apt-get install --no-install-recommends chromium")
    return found


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real scans."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real scans; shared/data beside the checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def head_on() -> HeadMaker:
    """Makes the same head, of nested soft-edged ellipsoids and texture, on any grid around the world's origin."""

    def make(shape: tuple[int, int, int], affine: Affine) -> Volume:
        voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
        x, y, z = np.moveaxis(voxels @ affine[:3, :3].T + affine[:3, 3], -1, 0)
        image = np.zeros(shape)
        for level, radii, center in (
            (900, (36, 44, 17), (0, 0, 0)),
            (300, (32, 40, 15), (0, 0, 0)),
            (800, (29, 37, 13), (0, 1, 0)),
            (1100, (20, 27, 9), (1, -2, 1)),
            (250, (6, 14, 5), (2, 3, -1)),
            (2400, (5, 4, 4), (-14, 12, 3)),  # on one side only, so that no flip goes unseen
        ):
            distance = np.sqrt(sum(((w - c) / r) ** 2 for w, c, r in zip((x, y, z), center, radii, strict=True)))
            inside = 1 / (1 + np.exp(np.clip((distance - 1) * min(radii[:2]) / 0.8, -50, 50)))
            image = image * (1 - inside) + level * inside
        texture = np.sin(x / 4.1) * np.cos(y / 5.3 + 1) + np.sin(z / 3.7 + x / 6 + 0.5)
        return Volume((image * (1 + 0.1 * texture)).astype(np.float32), affine)

    return make


def centered_affine(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Affine:
    """Right-anterior-superior axes with the middle of the field of view at the world's origin."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)]
    return affine


@pytest.fixture(scope="session")
def centered() -> Callable[[tuple[int, int, int], tuple[float, float, float]], Affine]:
    """`centered_affine`, of a shape and a spacing."""
    return centered_affine


@pytest.fixture(scope="session")
def head(head_on: HeadMaker) -> Volume:
    """40 x 48 x 20 voxels of 2 mm in right-anterior-superior order; the outer axial slices show air alone."""
    return head_on(HEAD_SHAPE, centered_affine(HEAD_SHAPE, (HEAD_SPACING,) * 3))


def reoriented(volume: Volume, permutation: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same image in space with its voxel axes reversed where told and then permuted."""
    backwards = np.eye(4)
    array = volume.array
    for axis in range(3):
        if flips[axis]:
            array = np.flip(array, axis)
            backwards[axis, axis], backwards[axis, 3] = -1, volume.array.shape[axis] - 1
    columns = (volume.affine @ backwards)[:, [*permutation, 3]]
    return Volume(np.ascontiguousarray(array.transpose(permutation)), columns)


@pytest.fixture(scope="session")
def orientations() -> Callable[[Volume], Iterator[tuple[Volume, Callable[[NDArray[np.number]], NDArray[np.number]]]]]:
    """Yields a volume in its 48 orientations, each with the way of an array back to the original one."""

    def all_of(volume: Volume) -> Iterator[tuple[Volume, Callable[[NDArray[np.number]], NDArray[np.number]]]]:
        for permutation in itertools.permutations(range(3)):
            for flips in itertools.product((False, True), repeat=3):

                def back(
                    array: NDArray[np.number],
                    permutation: tuple[int, ...] = permutation,
                    flips: tuple[bool, ...] = flips,
                ) -> NDArray[np.number]:
                    flipped = tuple(axis for axis in range(3) if flips[axis])
                    return np.flip(array.transpose(np.argsort(permutation)), flipped)

                yield reoriented(volume, permutation, flips), back

    return all_of


def random_network(settings: NetworkSettings, seed: int) -> ScoreNetwork:
    """Random weights everywhere, the last layers too, which start at zero.

    The estimates lie around 0.5 and follow the maps, as those of a trained network do.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ScoreNetwork(settings)
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
        network.unet.first.weight.data[:, settings.unshuffle**2 :] *= 4
        last = network.unet.last[-1]
        assert isinstance(last, torch.nn.Conv2d) and last.bias is not None
        torch.nn.init.constant_(last.bias, 0.5 / settings.sigma_data)
    return network


def as_stored(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as they come back from a checkpoint file, which storing once more does not change."""
    return restored_weights(stored_weights(weights))


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Checkpoint:
    """An untrained T1w checkpoint for slices of 2 mm, small enough for hundreds of translations."""
    settings = NetworkSettings(channels=(8, 16), blocks=1, unshuffle=2, attention_heads=2)
    weights = {name: weight.float() for name, weight in as_stored(random_network(settings, 0).state_dict()).items()}
    return Checkpoint(
        weights=weights,
        network=settings,
        condition=Condition(),
        sde=VarianceExplodingSDE(0.01, 5.0),
        modality="T1w",
        pixel_size=HEAD_SPACING,
        class_centers={3: np.array([0.05, 0.4, 0.7]), 5: np.array([0.02, 0.2, 0.35, 0.5, 0.7])},
        tissue_centers={"CSF": 0.15, "gray matter": 0.45, "white matter": 0.65},
        provenance=Provenance("none: random weights", "CC0", training_steps=0),
    )


CohortRun = Callable[..., int]


@pytest.fixture(scope="session")
def thin_scan() -> Volume:
    """Four slices of a real T2w scan, with large pixels."""
    whole = read_volume(sample_scan("ms_patient04_T2w"))
    affine = whole.affine.copy()
    affine[:3, 3] = (whole.affine @ [0, 0, 18, 1])[:3]
    affine[:3, :2] *= 3
    return Volume(np.ascontiguousarray(whole.array[::3, ::3, 18:22]), affine)


@pytest.fixture(scope="session")
def cohort_options(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Options with which `translate-cohort` is quick, in one process."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(tiny_checkpoint, path)
    return ("--checkpoint", str(path), "--quality", "fast", "--device", "cpu")


@pytest.fixture(scope="session")
def run_cohort(cohort_options: tuple[str, ...]) -> CohortRun:
    """Runs `translate-cohort` in this process and gives its exit status."""

    def call(source: object, output: Path, *arguments: object) -> int:
        words = ("translate-cohort", source, output, *arguments, *cohort_options, "--devices", 1)
        with pytest.raises(SystemExit) as left:
            main([str(each) for each in words])
        return int(left.value.code or 0)

    return call


@pytest.fixture(scope="session")
def method(tiny_checkpoint: Checkpoint) -> LMIDiffusion:
    """LMIDiffusion with the tiny checkpoint, on the CPU."""
    return LMIDiffusion(tiny_checkpoint, device=CPU)


@pytest.fixture(scope="session")
def whole(method: LMIDiffusion, head: Volume) -> NDArray[np.number]:
    """The translation of the head in three steps."""
    return image(method, head)


@pytest.fixture(scope="session")
def middle(method: LMIDiffusion, head: Volume) -> NDArray[np.number]:
    """The same of some middle slices."""
    return image(method, head, slices=MIDDLE)
