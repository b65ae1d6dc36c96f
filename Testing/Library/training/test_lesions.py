import pytest
import torch

from LMIDiffusionLib.training.anatomy import CLASSES, MOST_CLASSES
from LMIDiffusionLib.training.augmentation import AUGMENTATIONS
from LMIDiffusionLib.training.augmentation.lesions import Lesions
from LMIDiffusionLib.training.augmentation.random_streams import SliceDraws
from LMIDiffusionLib.training.slice_batch import SliceBatch

_CORTEX, _WHITE, _VENTRICLES, _FLUID = (
    CLASSES.index(name) for name in ("cortex", "white matter", "ventricles", "other fluid")
)
_LEVELS = {_CORTEX: 0.42, _WHITE: 0.62, _VENTRICLES: 0.12, _FLUID: 0.12}


def _draws(seed: int = 0) -> SliceDraws:
    return SliceDraws(torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def batch() -> SliceBatch:
    """32 discs of white matter in cortex in air, with a straight line of fluid across the cortex."""
    rows, columns = torch.meshgrid(torch.arange(-40.0, 40), torch.arange(-48.0, 48), indexing="ij")
    radius = torch.hypot(rows, columns)
    classes = torch.zeros(80, 96, dtype=torch.uint8)
    classes[radius < 38] = _CORTEX
    classes[(radius < 38) & (columns.abs() < 1)] = _FLUID
    classes[radius < 28] = _WHITE
    means = torch.zeros(32, MOST_CLASSES)
    for index, level in _LEVELS.items():
        means[:, index] = level
    everywhere = classes.expand(32, 1, 80, 96).clone()
    images = means.gather(1, everywhere.flatten(1).long()).view(32, 1, 80, 96)
    return SliceBatch(images, (radius < 38).float().expand_as(images), torch.ones(32, 1, 1, 1), everywhere, means)


def _air(batch: SliceBatch) -> torch.Tensor:
    """Air that borders on nothing else."""
    return torch.nn.functional.max_pool2d((batch.classes > 0).float(), 3, 1, 1) == 0


def test_lesions_lie_in_the_brain_and_show_more_in_the_copy(batch: SliceBatch) -> None:
    copies = torch.full_like(batch.images, 0.5)
    images, spoilt = Lesions(lesions=1).with_lesions(batch, copies, _draws())
    air = _air(batch)
    assert torch.equal(spoilt[air], copies[air])
    changed = (spoilt - copies).abs() > 0.05
    assert (changed & (batch.classes == _CORTEX)).any() and (changed & (batch.classes == _WHITE)).any()
    assert (spoilt - copies).abs().max() > 0.2
    assert (images <= batch.images).all() and (images >= 0.69 * batch.images).all()


def test_cavities_are_fluid_in_the_target_and_ventricles_to_every_contrast(batch: SliceBatch) -> None:
    hollow = Lesions(cavities=1).with_cavities(batch, _draws())
    filled = (hollow.classes == _VENTRICLES) & (batch.classes != _VENTRICLES)
    assert filled.flatten(1).any(1).sum() > 8
    assert hollow.images[filled].max() < 0.4
    deep = filled & ((hollow.images - 0.12).abs() < 0.005)
    assert deep.sum() > 0.3 * filled.sum()
    untouched = hollow.images == batch.images
    assert untouched[_air(batch)].all()
    contrasts = AUGMENTATIONS["anatomical"].class_contrasts
    copies = contrasts(hollow.images, hollow.classes, hollow.class_means, _draws(1))
    for copy, mask in zip(copies, deep, strict=True):
        if mask.any():
            assert copy[mask].std() < 0.03


def test_a_brain_whose_fluid_is_unknown_gets_no_cavities(batch: SliceBatch) -> None:
    unknown = batch._replace(class_means=torch.zeros_like(batch.class_means))
    assert torch.equal(Lesions(cavities=1).with_cavities(unknown, _draws()).images, batch.images)


def test_lines_darken_copies_only_where_the_target_has_a_thin_dark_line(batch: SliceBatch) -> None:
    copies = torch.full_like(batch.images, 0.5)
    lined = Lesions(lines=1).with_lines(batch, copies, _draws(), spacing=2.0)
    darker = (copies - lined) > 1e-4
    assert darker.flatten(1).any(1).sum() > 24
    near_fluid = torch.nn.functional.max_pool2d((batch.classes == _FLUID).float(), 3, 1, 1) > 0
    near_air = torch.nn.functional.max_pool2d((batch.classes == 0).float(), 3, 1, 1) > 0
    assert not darker[~near_fluid & ~near_air].any()
    assert (lined <= copies).all()


def test_no_share_changes_nothing(batch: SliceBatch) -> None:
    none, copies = Lesions(), torch.rand_like(batch.images)
    assert torch.equal(none.with_cavities(batch, _draws()).images, batch.images)
    images, spoilt = none.with_lesions(batch, copies, _draws())
    assert torch.equal(images, batch.images) and torch.equal(spoilt, copies)
    assert torch.equal(none.with_lines(batch, copies, _draws(), spacing=1.0), copies)
