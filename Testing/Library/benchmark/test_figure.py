"""The figure of several methods side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from LMIDiffusionLib.benchmark.figure import FigureOptions, draw_figure
from LMIDiffusionLib.benchmark.pairs import Pair
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.slice_grid import SliceGrid
from LMIDiffusionLib.images.volume import read_volume
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.model.checkpoint import Checkpoint, save_checkpoint
from LMIDiffusionLib.translation.options import TranslationOptions

GAP = 4  # pixels between pictures
PDW, T1W = sample_scan("sri24_PDw"), sample_scan("sri24_T1w")


@pytest.fixture
def options(tiny_checkpoint: Checkpoint, tmp_path: Path) -> FigureOptions:
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny.safetensors")
    return FigureOptions(
        pairs=[Pair("one", PDW, T1W, None, "SRI24"), Pair("turned", T1W, PDW, None, "SRI24")],
        output=tmp_path / "figure.png",
        methods=["identity", "lmidiffusion"],
        checkpoint=str(tmp_path / "tiny.safetensors"),
        device="cpu",
        translation=TranslationOptions(steps=2, samples=1),
    )


def test_each_pair_has_rows_of_slices_close_ups_and_classes(
    options: FigureOptions,
) -> None:
    draw_figure(options)
    sheet = np.pad(np.asarray(Image.open(options.output)).astype(int), ((0, GAP), (0, GAP), (0, 0)))
    volume = read_volume(PDW)
    width = 2 * SliceGrid(volume.array.shape, volume.affine, pixel_size=2.0).slice_shape[0] + GAP
    names, titles = sheet.shape[1] - 4 * width, 24
    source, target, identity, ours = (sheet[titles:, names + n * width : names + (n + 1) * width] for n in range(4))
    assert np.abs(identity - source).max() <= 1, "untranslated, a column shows the source again"
    assert np.abs(target - source).mean() > 5 and np.abs(ours - source).mean() > 5
    first, second = np.split(source, 2)
    turned_first, turned_second = np.split(target, 2)
    assert np.array_equal(first, turned_second) and np.array_equal(second, turned_first)
    third, edge = len(first) // 3, 6
    whole, close_up, classes = (first[n * third + edge : (n + 1) * third - edge] for n in range(3))
    assert np.ptp(whole, axis=2).max() > 0, "a frame shows what the close-up is of"
    assert np.ptp(close_up, axis=2).max() == 0 < np.ptp(classes, axis=2).mean()


def test_an_existing_figure_is_kept_without_overwrite(options: FigureOptions) -> None:
    options.output.write_bytes(b"mine")
    with pytest.raises(UserError, match="--overwrite"):
        draw_figure(options)
    assert options.output.read_bytes() == b"mine"
