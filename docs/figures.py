"""Draws the figures of "How it works" from the bundled sample scans: `make figures`.

Nothing in them is drawn by hand or by chance: maps, noise and steps are those of the library, from fixed seeds.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from LMIDiffusionLib.images.files import atomic_path
from LMIDiffusionLib.images.planes import AXIAL
from LMIDiffusionLib.images.slice_grid import pad_to, padded_shape
from LMIDiffusionLib.images.volume import read_volume
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.lmi import local_mutual_information
from LMIDiffusionLib.model.checkpoint import Checkpoint, load_checkpoint
from LMIDiffusionLib.model.denoisers import conditional_denoiser
from LMIDiffusionLib.model.samplers import euler_maruyama, shared_noise
from LMIDiffusionLib.training.augmentation import AUGMENTATIONS
from LMIDiffusionLib.training.augmentation.random_streams import SliceDraws
from LMIDiffusionLib.training.data.reading import read_scan, slices_of_plane
from LMIDiffusionLib.training.data.subjects import Subject
from LMIDiffusionLib.training.options import DataOptions
from LMIDiffusionLib.training.slice_batch import SliceBatch
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import translate
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume

FOLDER = Path(__file__).resolve().parent / "figures"
_SLICE = 38  # through the ventricles
_CORNER = (33, 27)  # row and column of the enlarged part, at the wall of a ventricle
_PART = 9
_PATCH = slice(_PART // 2 - 1, _PART // 2 + 2)
_CONTRASTS, _SEED = 4, 6
_STEPS = 200
_SHOWN = (0, 90, 120, 150, 175, 199)  # of the states; noise hides the slice in the first hundred
_WIDTH, _HEAD_ASPECT = 11.0, 1.2
_QUALITY = 82


def main() -> None:
    """Draw all figures."""
    torch.set_num_threads(1)  # sums in one order give the same pixels everywhere
    FOLDER.mkdir(exist_ok=True)
    checkpoint = load_checkpoint()
    for name, draw in (("patches", draw_patches), ("maps", draw_maps), ("steps", draw_steps)):
        _save(draw(checkpoint), FOLDER / f"{name}.webp")


def _slice(name: str, checkpoint: Checkpoint) -> Tensor:
    """One axial slice (1, 1, H, W) in [0, 1] of a bundled scan, padded to the network's stride."""
    source = SlicedVolume.from_volume(read_volume(sample_scan(name)), pixel_size=checkpoint.pixel_size)
    return pad_to(source.slices[[_SLICE]], padded_shape(source.grid.slice_shape, checkpoint.network.stride))


def _upright(image: Tensor) -> NDArray[np.float32]:
    """The picture of (1, 1, H, W): the front of the head is up, the patient's right on the left."""
    picture: NDArray[np.float32] = image[0, 0].T.flip(0, 1).numpy()
    return picture


def draw_patches(checkpoint: Checkpoint) -> Figure:
    """The same place in two contrasts: pixels, the joint values of one patch pair, and the map of all."""
    proton, truth = (_slice(name, checkpoint).transpose(2, 3).flip(2, 3) for name in ("sri24_PDw", "sri24_T1w"))
    parts = [image[0, 0, _CORNER[0] :, _CORNER[1] :][:_PART, :_PART].numpy() for image in (proton, truth)]
    figure = Figure(figsize=(_WIDTH, 3.1), layout="constrained")
    axes = figure.subplots(1, 5)
    for axis, part, name in zip(
        axes, parts, ("PDw, enlarged, and a patch", "T1w, and its search window"), strict=False
    ):
        _show(axis, part, name, low=part.min(), high=part.max())
        _frame(axis, _PART // 2, 3, "tab:orange")
    _frame(axes[1], _PART // 2, 5, "tab:cyan")
    axes[2].scatter(*(part[_PATCH, _PATCH] for part in parts), color="tab:orange", s=45)
    axes[2].set(xlabel="PDw", ylabel="T1w", box_aspect=1)
    axes[2].set_title("nine pixels: one value\ntells the other", fontsize=10)
    _draw_candidates(axes[3], proton, truth)
    whole = local_mutual_information(proton, truth)[0, 0].numpy()
    _show(axes[4], whole, "LMI(PDw, T1w)", high=None, colors="magma")
    _frame(axes[4], np.array(_CORNER) + _PART // 2, _PART, "tab:orange")
    return figure


def _frame(axis: Any, center: Any, size: int, color: str) -> None:
    row, column = np.broadcast_to(center, 2) - size / 2
    axis.add_patch(Rectangle((column, row), size, size, fill=False, edgecolor=color, linewidth=2))


def _draw_candidates(axis: Any, first: Tensor, second: Tensor) -> None:
    """Information between the patch in the middle and each of the patches around it in the other image."""
    row, column = (corner + _PART // 2 for corner in _CORNER)
    shifted = [torch.roll(second, (-down, -right), (2, 3)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    maps = torch.cat([local_mutual_information(first, each, search_size=1) for each in shifted], 1)
    values = maps[0, :, row, column].reshape(3, 3).numpy()
    _show(axis, values, "information for each\nshift: the largest counts", high=values.max() * 1.1, colors="magma")
    for (down, right), value in np.ndenumerate(values):
        best, bright = value == values.max(), value > 0.6 * values.max()
        style = {"color": "black" if bright else "white", "weight": "bold" if best else "normal"}
        axis.text(right, down, f"{value:.2f}", ha="center", va="center", **style)


def draw_maps(checkpoint: Checkpoint) -> Figure:
    """One slice in several contrasts, and what LMI sees of each."""
    images = {"PDw": _slice("sri24_PDw", checkpoint), "T1w": _slice("sri24_T1w", checkpoint)}
    for number, copy in enumerate(_training_contrasts(images["T1w"], checkpoint), start=1):
        images[f"in training, {number}"] = copy
    figure = Figure(figsize=(_WIDTH, 2 * _WIDTH * _HEAD_ASPECT / len(images) + 0.5), layout="constrained")
    for (name, image), (above, below) in zip(images.items(), figure.subplots(2, len(images)).T, strict=True):
        _show(above, _upright(image), name)
        information = checkpoint.condition.source_maps(image)[:, :1]
        _show(below, _upright(information), "LMI(F, F)" if name == "PDw" else "", high=None, colors="magma")
    return figure


def _training_contrasts(truth: Tensor, checkpoint: Checkpoint) -> list[Tensor]:
    """Copies of the T1w slice in contrasts such as training draws, with its tissues for classes."""
    subject = Subject("sri24", sample_scan("sri24_T1w"), None, sample_scan("sri24_tissue"))
    scan = read_scan(subject, DataOptions(correct_bias=False, tissue_levels=None), {})
    slices = slices_of_plane(scan, AXIAL, checkpoint.pixel_size)
    number = int((slices.images.sum((1, 2, 3)) - truth.sum()).abs().argmin())  # training cuts off air
    draws = SliceDraws(torch.Generator().manual_seed(_SEED))
    copies = AUGMENTATIONS["anatomical"].contrasts(SliceBatch(*(part[[number] * _CONTRASTS] for part in slices)), draws)
    return [*copies.split(1)]


@torch.no_grad()
def draw_steps(checkpoint: Checkpoint) -> Figure:
    """The reverse SDE from noise to a slice: the state, the cross map, and what the network makes of both."""
    proton = _slice("sri24_PDw", checkpoint)
    levels = checkpoint.sde.noise_levels(_STEPS)
    denoise = conditional_denoiser(checkpoint.score_network(), checkpoint.condition, proton)
    noise = shared_noise(0, proton)
    start = noise() * levels[0].item()
    states = [start, *euler_maruyama(denoise, start, levels, draw_noise=noise)]
    columns = len(_SHOWN) + 1
    figure = Figure(figsize=(_WIDTH, 3 * _WIDTH * _HEAD_ASPECT / columns + 0.6), layout="constrained")
    axes = figure.subplots(3, columns)
    for number, (above, middle, below) in zip(_SHOWN, axes.T, strict=False):
        state, sigma = states[number], levels[number].item()
        _show(above, _upright(state), f"sigma {sigma:.2g}", low=-sigma, high=1 + sigma)
        _show(middle, _upright(checkpoint.condition.noisy_maps(proton, state)), "", high=None, colors="magma")
        _show(below, _upright(denoise(state, sigma)), "")
    for axis, text in zip(axes[:, 0], ("slice so far, F_t", "LMI(F, F_t)", "network's estimate"), strict=True):
        axis.set_ylabel(text)
    results = {"source F": proton, "Balanced": _balanced(checkpoint), "true T1w": _slice("sri24_T1w", checkpoint)}
    for axis, (name, image) in zip(axes[:, -1], results.items(), strict=True):
        _show(axis, _upright(image), name)
    return figure


def _balanced(checkpoint: Checkpoint) -> Tensor:
    """The slice as the default quality translates it."""
    volume, cpu = read_volume(sample_scan("sri24_PDw")), torch.device("cpu")
    options = TranslationOptions(slices=(_SLICE, _SLICE + 1))
    translation = translate(volume, LMIDiffusion(checkpoint, device=cpu), options).volume
    grid = SlicedVolume.from_volume(volume, pixel_size=checkpoint.pixel_size).grid
    return grid.slices(translation.array)[[_SLICE]]


def _show(
    axis: Any,
    image: NDArray[np.float32],
    title: str,
    *,
    low: float = 0.0,
    high: float | None = 1.0,
    colors: str = "gray",
) -> None:
    axis.imshow(image, cmap=colors, vmin=low, vmax=high, interpolation="nearest")
    axis.set_title(title, fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])


def _save(figure: Figure, path: Path) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    with atomic_path(path) as temporary, Image.open(drawn) as image:
        image.convert("RGB").save(temporary, "WEBP", quality=_QUALITY, method=6)


if __name__ == "__main__":
    main()
