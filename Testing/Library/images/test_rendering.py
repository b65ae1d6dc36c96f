"""Composition of pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image

from LMIDiffusionLib.images.rendering import compose


def test_pictures_lie_in_the_middle_of_their_cells() -> None:
    large, small = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (20, 10), "lime")
    sheet = np.asarray(compose([[large, small], [small, large]], gap=6))
    assert sheet.shape == (2 * 30 + 6, 2 * 40 + 6, 3)
    assert (sheet[:30, :40] == (255, 0, 0)).all() and (sheet[36:, 46:] == (255, 0, 0)).all()
    for top, left in ((10, 56), (46, 10)):
        assert (sheet[top : top + 10, left : left + 20] == (0, 255, 0)).all()
    assert np.count_nonzero(sheet.sum(2)) == 2 * (40 * 30 + 20 * 10)


def test_long_titles_of_neighboring_columns_do_not_overlap() -> None:
    pictures = [Image.new("RGB", (90, 5)) for _ in range(2)]
    sheet = np.asarray(compose([pictures], titles=["lmidiffusion@some-checkpoint"[:20]] * 2))
    written = np.flatnonzero(sheet[:24].sum((0, 2)))
    left, right = written[written < 90], written[written > 93]
    assert len(left) + len(right) == len(written), "nothing is written between the columns"
    assert right.min() > left.max() + 4


def test_names_of_rows_have_room_to_the_left() -> None:
    sheet = np.asarray(
        compose([[Image.new("RGB", (30, 20))], [Image.new("RGB", (30, 20))]], names=["a", "a long name"])
    )
    assert not sheet[:, -30:].any() and sheet[:, :-30].any()
