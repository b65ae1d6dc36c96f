"""Order of the tissues: from labels, from the modality, or unknown."""

import pytest
import torch

from LMIDiffusionLib.training.anatomy import CLASSES
from LMIDiffusionLib.training.data.tissue_order import tissues_from_dark
from LMIDiffusionLib.training.slice_batch import SliceBatch

T1W = ["CSF", "gray matter", "white matter"]


def slices(intensities: dict[str, float], *, unlabeled: bool = False) -> SliceBatch:
    """One slice with a row of each of some anatomical classes."""
    classes = torch.tensor([CLASSES.index(name) for name in intensities], dtype=torch.uint8)
    if unlabeled:
        classes = torch.full_like(classes, len(CLASSES))
    rows = torch.tensor([*intensities.values()])
    shape = (1, 1, len(rows), 6)
    return SliceBatch(
        images=rows[:, None].expand(shape),
        brains=torch.ones(shape),
        gains=torch.ones(1, 1, 1, 1),
        classes=classes[:, None].expand(shape),
        class_means=torch.zeros(1, 256),
    )


BRIGHT_FLUID = {"ventricles": 0.9, "other fluid": 0.8, "cortex": 0.5, "white matter": 0.3, "pallidum": 0.1}
DARK_FLUID = {"ventricles": 0.1, "other fluid": 0.2, "cortex": 0.5, "white matter": 0.7, "pallidum": 0.9}


@pytest.mark.parametrize("modality", ["T1w", "T2w", "other"])
def test_labels_tell_the_order_whatever_the_modality_is_called(modality: str) -> None:
    assert tissues_from_dark(slices(BRIGHT_FLUID), modality=modality) == T1W[::-1]
    assert tissues_from_dark(slices(DARK_FLUID), modality=modality) == T1W


def test_without_labels_only_the_order_of_t1w_is_known() -> None:
    some = slices(DARK_FLUID, unlabeled=True)
    assert list(tissues_from_dark(some, modality="T1w") or ()) == T1W
    assert tissues_from_dark(some, modality="T2w") is None


def test_a_tissue_that_no_label_names_leaves_it_to_the_modality() -> None:
    assert tissues_from_dark(slices({"cortex": 0.5, "white matter": 0.3}), modality="T2w") is None
