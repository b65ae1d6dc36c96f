from pathlib import Path

import numpy as np
import pytest
import torch

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.training.anatomy import CLASSES, MOST_CLASSES
from LMIDiffusionLib.training.augmentation.class_contrasts import ClassContrasts
from LMIDiffusionLib.training.augmentation.label_targets import BRAIN_LEVELS, OUTER_LEVELS, LabelTargets
from LMIDiffusionLib.training.augmentation.random_streams import SliceDraws
from LMIDiffusionLib.training.head_labels import CLASSES_OF_LABELS, brain_of_classes, classes_of_labels
from LMIDiffusionLib.training.slice_batch import SliceBatch

_NAMES = (*BRAIN_LEVELS, *OUTER_LEVELS)


def _draws(seed: int = 0) -> SliceDraws:
    return SliceDraws(torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def stripes() -> SliceBatch:
    """16 slices with a stripe of 12 rows of every class that has a level, and air below."""
    rows = torch.tensor([CLASSES.index(name) for name in _NAMES]).repeat_interleave(12)
    rows = torch.cat([rows, torch.zeros(20, dtype=torch.long)])
    classes = rows[:, None].expand(-1, 64).to(torch.uint8).expand(16, 1, -1, -1)
    images = torch.zeros(classes.shape)
    return SliceBatch(images, torch.ones_like(images), torch.ones(16, 1, 1, 1), classes, torch.zeros(16, MOST_CLASSES))


def _inner(images: torch.Tensor, name: str) -> torch.Tensor:
    first = 12 * _NAMES.index(name)
    return images[:, 0, first + 3 : first + 9]


def test_tissues_have_the_levels_of_a_t1w_scan(stripes: SliceBatch) -> None:
    images = LabelTargets()(stripes, _draws(), spacing=1.0).images
    for name, level in {**BRAIN_LEVELS, **OUTER_LEVELS}.items():
        assert _inner(images, name).mean() == pytest.approx(level, rel=0.1), name
    assert images[:, :, -10:].abs().max() < 1e-6


def test_the_brain_has_one_contrast_and_what_lies_outside_varies(stripes: SliceBatch) -> None:
    images = LabelTargets()(stripes, _draws(), spacing=1.0).images

    def spread(name: str) -> float:
        means = _inner(images, name).mean((1, 2))
        return float(means.std() / means.mean())

    assert spread("white matter") < 0.04 < 0.05 < spread("soft tissue")


def test_drawn_levels_are_the_class_means_and_tissues_have_a_texture(stripes: SliceBatch) -> None:
    drawn = LabelTargets()(stripes, _draws(), spacing=1.0)
    for name in _NAMES:
        mean = drawn.class_means[:, CLASSES.index(name)]
        assert torch.allclose(_inner(drawn.images, name).mean((1, 2)), mean, atol=0.05), name
    assert 0.002 < _inner(drawn.images, "white matter").std((1, 2)).mean() < 0.06


def test_the_same_draws_give_the_same_targets(stripes: SliceBatch) -> None:
    first, again, other = (LabelTargets()(stripes, _draws(seed), spacing=1.0).images for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_every_class_outside_the_brain_gets_an_intensity_of_its_own_in_a_copy(stripes: SliceBatch) -> None:
    drawn = LabelTargets()(stripes, _draws(), spacing=1.0)
    copies = ClassContrasts(slope=0)(drawn.images, drawn.classes, drawn.class_means, _draws(1))
    outer = torch.stack([_inner(copies, name).mean((1, 2)) for name in OUTER_LEVELS])
    assert (outer.std(0) > 0.08).all()
    pairs = torch.corrcoef(outer)
    assert (pairs - torch.eye(len(pairs))).max() < 0.95


def test_the_two_sides_of_a_label_have_one_class_and_all_known_labels_have_one() -> None:
    labels = np.array(sorted(label for numbers in CLASSES_OF_LABELS.values() for label in numbers))
    assert len(set(labels.tolist())) == len(labels)
    classes = classes_of_labels(labels[None, None], Path("map"))[0, 0]
    found = dict(zip(labels.tolist(), classes.tolist(), strict=True))
    for left, right in ((2, 41), (3, 42), (11, 50), (12, 51), (17, 53), (4, 43)):
        assert found[left] == found[right]
    assert len({found[label] for label in (0, 2, 3, 4, 11, 12, 24, 507, 511, 515)}) == 10


@pytest.mark.parametrize(("labels", "message"), [([3, 999], "999"), ([2, 4], "cortex")])
def test_unusable_label_maps_are_refused_by_name(labels: list[int], message: str) -> None:
    with pytest.raises(UserError, match=f"some/map.nii.gz.*{message}"):
        classes_of_labels(np.array(labels)[None, None], Path("some/map.nii.gz"))


def test_the_brain_holds_the_fluid_of_narrow_sulci_and_not_that_around_it() -> None:
    labels = np.zeros((40, 40, 40), np.int64)
    labels[4:36, 4:36, 4:36] = 24
    labels[10:30, 10:30, 10:30] = 3
    labels[19:21, 10:25, 10:30] = 24
    brain = brain_of_classes(classes_of_labels(labels, Path("map")), spacing=1.0)
    assert brain[labels == 3].all()
    assert brain[19:21, 14:25, 14:26].all()
    assert not brain[5].any() and not brain[labels == 0].any()
