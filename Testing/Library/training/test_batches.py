import numpy as np
import pytest
import torch

from LMIDiffusionLib.images.planes import PLANES
from LMIDiffusionLib.training.anatomy import MOST_CLASSES
from LMIDiffusionLib.training.data.batches import FIELD, BatchMix, CutBatch, CutBatches, held_out_batches
from LMIDiffusionLib.training.data.scans import TrainingScan

_SIZES = (1.0, 2.0)


def _scan(spacing: float, shape: tuple[int, int, int], *, name: str = "scan", drawn: bool = False) -> TrainingScan:
    """A block whose intensities tell where a voxel lies: the place to the right, odd where it lies in front."""
    right, front, up = np.indices(shape)
    return TrainingScan(
        name=name,
        spacing=spacing,
        images=None if drawn else (1 + (2 * right + front % 2 + 64 * (up % 2)) % 250).astype(np.uint8),
        classes=np.ones(shape, np.uint8),
        brain=np.ones(shape, np.uint8),
        is_masked=False,
        gain=1.0,
        class_means=np.zeros(MOST_CLASSES, np.float32),
        slices={plane: np.arange(2, shape[axes[2]] - 2) for plane, axes in PLANES.items()},
    )


@pytest.fixture(scope="module")
def scans() -> list[TrainingScan]:
    return [
        _scan(2.0, (70, 90, 80), name="coarse"),
        _scan(1.0, (120, 150, 130), name="fine"),
        _scan(1.0, (130, 140, 125), name="labels", drawn=True),
    ]


@pytest.fixture(scope="module")
def batches(scans: list[TrainingScan]) -> list[CutBatch]:
    drawn = CutBatches(scans, _SIZES, BatchMix(), seed=4)
    return [drawn[number] for number in range(40)]


def test_a_batch_depends_on_seed_and_number_alone(scans: list[TrainingScan], batches: list[CutBatch]) -> None:
    again = CutBatches(scans, _SIZES, BatchMix(), seed=4)
    for number in (17, 3):
        assert torch.equal(again[number].slices.images, batches[number].slices.images)
        assert again[number][1:] == batches[number][1:]
    other = CutBatches(scans, _SIZES, BatchMix(), seed=5)
    assert any(other[number][1:] != batches[number][1:] for number in range(5))


def test_all_batches_have_about_as_many_pixels_in_multiples_of_the_stride(batches: list[CutBatch]) -> None:
    wanted = 8 * (FIELD / 2) ** 2
    for batch in batches:
        height, width = batch.pixels.shape or (0, 0)
        count = len(batch.slices.images) // batch.pixels.parts
        assert height % 8 == width % 8 == 0
        assert count * height * width == pytest.approx(wanted, rel=0.12)


def test_scans_are_shown_on_no_finer_pixels_than_their_own(batches: list[CutBatch]) -> None:
    coarse = {batch.pixels.size for batch in batches if batch.pixels.spacing == 2}
    fine = [batch.pixels.size for batch in batches if batch.pixels.spacing == 1]
    assert coarse == {2.0}
    assert min(fine) == 1 and max(fine) == 2 and len(set(fine)) > 10
    assert {batch.is_drawn for batch in batches if batch.pixels.spacing == 1} == {True, False}
    assert not any(batch.is_drawn for batch in batches if batch.pixels.spacing == 2)


def test_crops_have_the_pixels_of_the_scans_for_the_asked_field(batches: list[CutBatch]) -> None:
    for batch in batches:
        for got, wanted in zip(batch.slices.images.shape[-2:], batch.pixels.shape or (), strict=True):
            assert got == pytest.approx(wanted * batch.pixels.size / batch.pixels.spacing, abs=0.51)


@pytest.mark.parametrize("plane", PLANES)
def test_slices_lie_as_translation_cuts_them(plane: str) -> None:
    """Axes to the right, to the front and up, in the order that `PLANES` names for rows, columns and slices."""
    scan = _scan(1.0, (60, 70, 80))
    only = TrainingScan(**{**vars(scan), "slices": {plane: scan.slices[plane]}})
    batch = next(
        each
        for each in (CutBatches([only], (1.0, 1.0), BatchMix(batch_size=2), seed=0)[number] for number in range(20))
        if each.pixels.parts == 1
    )
    assert only.images is not None
    volume = torch.from_numpy(np.moveaxis(only.images, PLANES[plane][2], 0)).float() / 255
    for image in batch.slices.images[:, 0]:
        rows, columns = (torch.nonzero(image.any(axis)).flatten() for axis in (1, 0))
        content = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert any(
            torch.equal(content, window)
            for each in volume
            for window in each.unfold(0, content.shape[0], 1).unfold(1, content.shape[1], 1).flatten(0, 1)
        )


def test_the_parts_of_a_thick_slice_follow_one_another(batches: list[CutBatch]) -> None:
    thick = [batch for batch in batches if batch.pixels.parts > 1 and not batch.is_drawn]
    assert {batch.pixels.parts for batch in batches if batch.pixels.spacing == 1} == {1, 2, 3, 4}
    for batch in thick:
        parts = batch.slices.images.unflatten(0, (-1, batch.pixels.parts))
        assert not torch.equal(parts[:, 0], parts[:, 1])
        assert torch.equal(parts[:, 0] > 0, parts[:, 1] > 0)


def test_processes_share_the_slices_of_a_batch(scans: list[TrainingScan]) -> None:
    ranks = [CutBatches(scans[:2], _SIZES, BatchMix(), seed=4, rank=rank, ranks=2)[7] for rank in (0, 1)]
    assert ranks[0][1:] == ranks[1][1:]
    assert ranks[0].slices.images.shape == ranks[1].slices.images.shape
    assert not torch.equal(ranks[0].slices.images, ranks[1].slices.images)


def test_held_out_batches_are_the_same_each_time_and_no_label_maps(scans: list[TrainingScan]) -> None:
    first, again = (held_out_batches(scans, _SIZES, BatchMix(), count=6) for _ in range(2))
    assert all(torch.equal(one.slices.images, two.slices.images) for one, two in zip(first, again, strict=True))
    assert not any(batch.is_drawn for batch in first)


def test_windows_without_shift_and_aspect_show_whole_slices_in_their_middle() -> None:
    scan = _scan(2.0, (70, 90, 80))
    mix = BatchMix(batch_size=4, stride=1, aspect=0.0, shift=0.0)
    batch = CutBatches([scan], (2.0, 2.0), mix, seed=1)[0]
    assert batch.pixels.shape == (112, 112) and batch.slices.images.shape == (4, 1, 112, 112)
    for image in batch.slices.images[:, 0]:
        for axis in (0, 1):
            shown = torch.nonzero(image.any(axis)).flatten()
            assert abs(int(shown[0]) - (111 - int(shown[-1]))) <= 1
